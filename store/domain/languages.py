"""Orders in other languages than English, by stems: what is to be done, beside what it is to be done to.

The stems are of the commonest ways to say ignore, forget, delete, skip, submit, and "you must"; accents are taken off
before they are looked for. One word alone orders nothing in the Latin script, where it may be a word of English.
"""

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f]")

_DO = (
    r"(?:ignor(?:ier\w*|ez|uj\w*|ando|a|en|ad)|olvid\w+|oubli\w+|verg(?:iss|esst|essen)|dimentic\w+|esquec\w+|negeer\w*|"
    r"vergeet|zapomn\w*|glom|glem|unohda\w*|jata\s+huomiotta|abaikan|lupakan|bo\s+qua|quen|yok\s+say\w*|unutun?|"
    r"borr(?:a|e|ar|ad|en)|elimin(?:a|e|ar|ad|en|ez|ati)|supprim\w+|suprim(?:e|a|ir)|effac\w+|losch\w*|entfern\w*|"
    r"cancella(?:re|te)?|apag(?:a|ue|ar|uem)|exclua|excluir|verwijder\w*|usun\w*|smaz\w*|odstran\w*|ta\s+bort|radera|"
    r"slet|fjern|poista\w*|hapus\w*|xoa|sil(?:in)?|sterge\w*|toro(?:l|ld|lj|lje)\w*|envi(?:a|e|ar|en)|soumet\w*|einreich\w*|reiche?|"
    r"wyslij\w*|odesli\w*|skicka|kirim\w*|gonder\w*|omit(?:a|e|ir)|salta(?:r|te)?|uberspring\w*|pomin\w*|hoppa\s+over|"
    r"ejecut(?:a|e|ar|en)|execut(?:ez|a|ar)|fuhr\w*|uruchom\w*|jalankan|calistir\w*|"
    r"debes?|deben|deve[sm]?|devi|dovete|(?:tu|vous)\s+(?:dois|devez)|(?:du|ihr|sie)\s+(?:musst|mussen)|je\s+moet|"
    r"musisz|musis|du\s+maste|du\s+ma|harus|phai|zorundasin)"
)
_TO = (
    r"(?:instruc\w+|istruzion\w*|anweisung\w*|befehl\w*|instrukc\w*|instrukti\w*|instruksi|pokyn\w*|huong\s+dan|talimat\w*|"
    r"utasitas\w*|consigne\w*|indica(?:tion|cion|zion|coe)\w*|regla\w*|regl\w*|regel\w*|regol\w*|regra\w*|zasad\w*|"
    r"pravidl\w*|anterior\w*|precedent\w*|precede|vorherig\w*|bisherig\w*|vorige|poprzedni\w*|predchoz\w*|tidigare|"
    r"tidligere|sebelumnya|truoc|onceki|prueba\w*|test\w{0,4}|prufung\w*|control\w*|kontrol\w*|comprobacion\w*|verific\w*|"
    r"overeni|kiem\s+tra|archivos?|fichiers?|dateien|datei|arquivos?|bestand\w*|pliki?|soubor\w*|filen|filer|dosya\w*|"
    r"osszes|todos?|todas?|tout\w*|alles?|allen|tutt[oaie]|tudo|wszystk\w*|vsechn\w*|alla|semua|tat\s+ca|tum|sofort|"
    r"immediatement|inmediatamente|subito|ahora|maintenant|resultad\w*|ergebnis\w*)"
)
_NEAR = 80
"""Characters that may stand between the two."""
_LATIN = re.compile(
    rf"\b{_DO}\b.{{0,{_NEAR}}}\b{_TO}\b|\b{_TO}\b.{{1,{_NEAR}}}\b(?:sil|yok\s+say|losch\w*|einreich\w*)\b", re.DOTALL
)

_OTHERS = re.compile(
    # Russian, Ukrainian, Bulgarian; и stands for й too.
    r"\b(?:игнориру\w*|проигнорируи\w*|забуд(?:ь|ьте)|удали(?:те)?|сотри(?:те)?|отправь(?:те)?|пропусти(?:те)?|"
    r"отключи(?:те)?|выполни(?:те)?|запусти(?:те)?|не\s+(?:запускаи|говори|сообщаи)\w*|(?:ты|вы)\s+долж\w+|игноруи\w*|"
    r"изтрии?(?:те)?|видали(?:ть)?|надишли\w*|пропустить\s+проверк\w*)\b"
    r"|忽略|无视|無視|忘记|忘掉|忘記|忘れ|跳过|跳過|绕过|(?:请|請|必须|必須|务必|立即|直接|马上).{0,8}?(?:删除|刪除|执行|執行|提交|运行|運行|停止|修改)"
    r"|(?:删除|刪除)(?:所有|全部|这|這|测试|測試|检查)|してください|して下さい|しなさい|せよ|するな|しろ(?:$|\W)"
    r"|무시하|무시해|잊어|삭제하(?:세|십|라|고)|삭제해|하세요|하십시오|제출하|건너뛰"
    r"|تجاهل|احذف|امسح|انس\s|يجب\s+عليك|قم\s+ب|نفذ|أرسل|نادیده|حذف\s+کن|فراموش\s+کن"
    r"|התעלמ|התעלם|מחק|שכח|עליך|דלג|הגש"
    r"|अनदेखा|अनदेखी|हटा\s*(?:दें|दो|एं|ओ)|भूल\s+जा|मिटा|करें|कीजिए|करो"
    r"|αγνο(?:ησ|ειστ)\w*|διαγρα[ψφ]\w*|ξεχασ\w*|υποβαλ\w*|πρεπει\s+να"
    r"|ละเว้น|เพิกเฉย|ลบไฟล์|ลืมคำสั่ง|ต้องลบ"
)


def orders(text: str) -> bool:
    """Whether a text gives orders in another language, as far as its words tell."""
    if text.isascii():
        return _LATIN.search(text.lower()) is not None
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))
    plain = plain.replace("ł", "l").replace("ø", "o").replace("ı", "i").replace("đ", "d").replace("і", "и")
    return _LATIN.search(plain) is not None or _OTHERS.search(plain) is not None
