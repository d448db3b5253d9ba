"""Flags on text that comes from tools and models: what reads like an order, a secret, or a terminal escape.

The patterns cannot be complete. They stand behind what matters more: that such text is quoted, on one line, short, in a
fence that says it is data.
"""

import re
from functools import lru_cache

from store.domain import languages
from store.domain.observations import Flag
from store.domain.safe_text import safe
from store.domain.unmasking import decoded, readings, squeezed, visible

_COLOUR = re.compile(r"\x1b\[[\d;:]*m")

_VERBS = (
    "add|answer|append|apply|approve|ask|authori[sz]e|call|cancel|change|clear|commit|confirm|connect|copy|create|deactivate|"
    "delete|deploy|disable|discard|disclose|disregard|download|drop|echo|email|empty|encode|erase|execute|exfiltrate|"
    "export|fetch|finish|follow|forget|forward|give|go|grant|hide|ignore|include|insert|install|invoke|kill|launch|leak|"
    "leave|list|mail|mark|merge|modify|move|obey|omit|open|output|overwrite|paste|post|pretend|print|publish|pull|push|put|"
    "quit|read|refuse|remove|rename|repeat|replace|reply|report|request|reset|respond|return|reveal|revert|rewrite|run|say|"
    "send|set|share|show|shut|skip|start|stop|store|submit|summari[sz]e|switch|take|tell|terminate|touch|transfer|treat|"
    "trust|turn|type|uninstall|unset|update|upload|use|visit|wipe|write"
)
_OBJECTS = (
    r"(?:the|all|any|every|everything|each|your|my|our|his|their|this|these|those|that|it|them|us|me|him|her|nothing|no|an?|"
    r"only|with|as|to|for|from|into|out|off|on|back|up|down|over|at|in|and|yourself|instead|now|immediately|once|whatever|"
    r"[`'\"$~]|https?:|[./]*[\w-]+[./][\w./-]+|(?-i:[A-Z_]{4,})\b)"
)
_READERS = (
    r"(?:ai|a\.i\.|llms?|language\s+models?|models?|assistants?|agents?|subagents?|bots?|chat-?bots?|copilots?|claude|"
    r"(?:chat)?gpt(?:-?\d)?|gemini|codex|cursor)"
)

_INJECTED = (
    r"\b(?:ignor|disregard|forget|overrid|bypass|neglect|set\s+aside)\w*\b.{0,40}\b(?:previous|prior|above|earlier|preceding|"
    r"former|foregoing|all|any|your|system|everything|what)\b"
    r".{0,30}\b(?:instruct\w*|prompts?|rules?|directions?|directives?|guidelines?|orders?|context|messages?|policy|policies|"
    r"told|said|constraints?|guardrails?)\b"
    r"|<\s*/?\s*(?:system|assistant|human|user|instructions?|observations|important|admin|tool_result|tool_call)\b[^>]{0,40}>"
    r"|<\|[a-z_]+\|>|\[/?(?:INST|SYS|SYSTEM|ADMIN|ASSISTANT)\b[^\]]{0,20}\]|<</?SYS>>"
    r"|(?:^|[\n`\"'>])\s*(?:#+\s*)?(?:system|assistant|human|developer|admin(?:istrator)?)\s*(?:prompt|message|note|override)?"
    r"\s*:"
    r"|\b(?:new|updated?|real|actual|secret|hidden|system|important|special|following|additional)\s+(?:instructions?|"
    r"directives?)\b"
    rf"|\b(?:as|dear|hey|hello|hi|attention|reminder|notice|instructions?|note\s+(?:to|for)|message\s+(?:to|for))[:,]?\s+"
    rf"(?:an?\s+|the\s+|all\s+|any\s+|every\s+|coding\s+|this\s+)*{_READERS}\b"
    rf"|\bif\s+you(?:'re|\s+are)\s+(?:an?\s+|the\s+)?(?:\w+\s+)?{_READERS}\b"
    rf"|\b(?:ai|llm|assistant|subagent|agent|claude|chatgpt|gpt|copilot|model)s?\b\s*(?:[:,]|[-—–])\s*(?:{_VERBS}|please|you|"
    r"do|don't|must|should|never|always)\b"
    rf"|\b{_READERS}\s+(?:reading|processing|seeing|who\s+reads?|that\s+reads?|must|should|shall|will|has\s+to|have\s+to|"
    r"needs?\s+to|are\s+to|is\s+to)\b"
    r"|\b(?:run|execute)\s+(?:the\s+following|(?:this|these)\s+commands?)\b"
    r"|\b(?:curl|wget|fetch)\b[^\n|]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|\brm\s+-[rf]{2}\b"
    r"|\b(?:prompt\s+injection|jailbreak\w*|system\s+prompt|developer\s+mode|maintenance\s+mode|god\s+mode|do\s+anything\s+now)\b"
    r"|\b(?:from\s+now\s+on|henceforth|from\s+this\s+(?:point|moment)\s+on(?:ward)?)\b"
    r"|\bin\s+your\s+(?:next|final|last|own)\s+(?:answer|reply|turn|message|response|report|output|words)\b"
    r"|\b(?:the|your)\s+(?:user|operator|developer|admin(?:istrator)?|maintainer|owner|human|boss|team)s?\s+"
    r"(?:wants?|has|have|had|asked|asks|requests?|requires?|approved|authori[sz]e[sd]?|says?|said|told|tells|expects?|"
    r"needs?|would\s+like)\s+(?:that\s+)?(?:you|to|this|everything|all)\b"
    r"|(?:ignorier|ignorez|ignora(?:r|d|te)?\b|fuhren?\s+(?:sie|den|das)\b|losch\w*\s+(?:sie|alle|die|den|das)\b|"
    r"supprime[zr]?\b|ejecut(?:a|e|ar)\b|elimin(?:a|e|ar)\s+(?:los|las|el|la|todo))"
    # Conversations and tool calls, as protocols and prompts write them.
    r"|[\"']role[\"']\s*:\s*[\"'](?:system|developer|user|assistant|tool)\b"
    r"|[\"'](?:instructions?|directives?|system_?prompt|next_action|new_task)[\"']\s*:|(?:^|\n)\s*(?:instructions?|directives?)\s*:"
    r"|[\"'](?:skip|disable|bypass)_(?:the_)?(?:checks?|tests?|verification)[\"']\s*:"
    r"|<\s*/?\s*(?:\w+:)?(?:invoke|function_calls?|parameter|tool_use|tool_code|start_of_turn|end_of_turn|system-reminder)\b"
    r"|\[/?(?:TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]|(?:^|\n)\s*(?:#{2,}\s*(?:new\s+)?|#\s*new\s+)(?:instructions?|task|system)\b"
    # Our own words, in the places where we write them.
    r"|\[(?:important|possible|informational)\]\s*\(o-|\bend\s+of\s+(?:the\s+)?(?:observations?|data|memory|untrusted)\b"
    r"|\bobserver\s*:\s*[a-z]"
    rf"|\b(?:subagents?|(?:coding|ai)\s+(?:agents?|assistants?)|llms?|language\s+models?|claude|chatgpt|copilot)\s+(?:that|who|which|will)\b"
    r"|\bagents?\s+(?:that|who)\s+(?:works?|reads?|sees?|edits?|opens?|touch|finds?|process(?:es)?)\b"
    r"|\bwhen\s+(?:you\s+)?(?:summari[sz]ing|reading\s+this|answering|replying|reporting)\b"
    r"|\b(?:the|your)\s+(?:new\s+)?(?:goal|task|objective|mission)\s+(?:is\s+now|has\s+changed|was\s+changed|changed)\b"
    r"|\btask\s+update\b|\boverride\s*:|\b(?:jail|role)-?play\b"
    r"|\b(?:eval|exec)\s*\(\s*(?:atob|base64)|\bbase64\s+(?:-d|-D|--decode)\b|\|\s*(?:nc|ncat|netcat)\s+[\w.-]+\s+\d+|\bchmod\s+-R\s+0?777\b"
    r"|\bdd\s+if=\S+\s+of=/dev/|\bgit\s+push\s+(?:-f|--force)\b|\bcurl\b[^\n]*\s(?:-d|--data\S*|-F|-T)\s*['\"]?@"
    r"|--index-url\s+http:|--extra-index-url\b"
)
"""What has no business in code, either."""

_ORDERS = (
    r"\byou(?:'ll|\s+(?:all\s+)?(?:must|should|shall|ought\s+to|have\s+to|need\s+to|will\s+need\s+to|had\s+better|"
    r"(?:are|were)\s+(?:now\s+)?(?:required|instructed|ordered|asked|expected|supposed|told|allowed|authori[sz]ed|free|to)\b|"
    r"will\s+now|can\s+now|are\s+now|may\s+now|are\s+an?\b))"
    r"|\byour\s+(?:new\s+|next\s+|only\s+|first\s+|real\s+)?(?:task|job|goal|instructions?|mission|duty|priority|orders?|role|"
    r"objective|step)\b"
    rf"|\b(?!first\s+use\b)(?:please|kindly|now|immediately|instead|first|then|next|simply|just|always|also|finally|to\s+(?:fix|repair|solve|"
    rf"resolve|continue|proceed)(?:\s+(?:this|it))?,?)\s+(?:{_VERBS}|edit|never|do)\b"
    r"|\b(?:run|execute)\s+(?:this|these|it\s+now)\b"
    rf"|\b(?:do\s+not|don't|never|must\s+not|should\s+not)\s+(?:{_VERBS}|mention|inform|verify|check|question|warn|look|try|be|"
    r"let|worry)\b"
    r"|\b(?:skip|bypass|disable|circumvent|turn\s+off|switch\s+off)\s+(?:the\s+|all\s+|any\s+|every\s+)?(?:checks?|tests?|safety|"
    r"verification|validation|review|sandbox|guards?)\b"
    rf"|(?:^|\n\s*|[.!?:;,]\s+|[`\"'(>*#=\]]\s*|[-—–]\s+|\b(?:and|or|so|then|but)\s+)(?:{_VERBS})\s+{_OBJECTS}"
    r"|\b(?:make\s+sure|be\s+sure|be\s+advised|ensure|remember|do\s+remember|don't\s+forget|it\s+is\s+(?:safe|recommended|"
    r"required|necessary|ok(?:ay)?|mandatory|allowed|best|fine|important|imperative|essential|crucial))\s+(?:to|that|you)\b"
    rf"|\b(?:must|should|shall|ha(?:s|ve)\s+to|needs?\s+to|ought\s+to|(?:is|are)\s+to)\s+(?:now\s+|first\s+|immediately\s+|"
    r"always\s+|never\s+|all\s+)?be\s+(?:deleted|removed|ignored|skipped|disabled|executed|submitted|approved|overwritten|"
    r"reverted|emptied|erased|sent|posted|uploaded|shared|trusted|reported|marked|treated|dropped|wiped|disregarded)\b"
    r"|\b(?:pretend|act\s+as|behave\s+as|respond\s+(?:only\s+)?with|reply\s+(?:only\s+)?with|answer\s+(?:only\s+)?with|"
    r"say\s+that|repeat\s+after)\b"
    rf"|\b(?:could|would|can|will)\s+you\s+(?:please\s+)?(?:{_VERBS})\b|\blet'?s\s+(?:{_VERBS})\b"
    rf"|\bwe\s+(?:need\s+to|must|should|have\s+to|will)\s+(?:now\s+)?(?:{_VERBS})\b"
    r"|\b(?:i|he|she|it|engineers?|developers?|one)\s+(?:will|deletes?|removes?|skips?|disables?)\b.{0,60}\bsubmits?\b"
    r"|\b(?:removing|deleting|skipping|disabling|submitting|ignoring|bypassing)\b.{0,60}\bis\s+(?:required|recommended|"
    r"mandatory|necessary|advised|expected)\b"
    r"|\b(?:known\s+)?(?:fix|solution|remedy|resolution|workaround|hint|tip|try)\s*:\s*.{0,3}(?:rm|git\s+(?:push|reset|clean|checkout)|"
    r"curl|wget|chmod|dd|sudo|export|eval|pip\s+install|npm\s+i(?:nstall)?)\b"
    r"|\b(?:checks?|tests?|verification)\s+(?:need|needs|do|does)\s+not\s+(?:need\s+to\s+)?be\s+run\b|\bneed\s+not\s+be\s+run\b"
    r"|(?-i:\bSUBMIT[.!](?!\w)|\bSTOP[.!]|\bDO\s+NOTHING\b)|\brewarded\b|\b(?:is|are)\s+(?:now\s+)?(?:required|obliged|ordered|instructed)\s+to\b|"
    r"\b(?:recommend|suggest|advise)s?\s+(?:that\s+)?you\b|\bobey\b|\bgive\s+up\b|\bstop\s+working\b|\bcall\s+submit\b|"
    r"\byou\s+work\s+for\b|\bdo\s+what\s+(?:the|it|this)\b|\bimagine\s+(?:being|that\s+you)\b"
    r"|\b(?:secretly|silently|quietly|without\s+(?:asking|telling|mentioning|confirmation|checking|informing|running))\b"
)
"""What programs say to people, and what is an order to whoever reads it."""

_IN_CODE = re.compile(_INJECTED, re.IGNORECASE | re.DOTALL)
_IN_TEXT = re.compile(f"{_INJECTED}|{_ORDERS}", re.IGNORECASE | re.DOTALL)

_SQUEEZED = re.compile(
    r"(?:ignor(?:e|ing)|disregard|forget|overrid(?:e|ing)|bypass)(?:all|any|every|everything|of|the|your|my|these|those|that)*"
    r"(?:previous|prior|above|earlier|preceding|former|system|your|all)(?:and)?"
    r"(?:system|developer|given)?(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|orders?|context|messages)"
    r"|(?:delete|remove|skip|disable|ignore|bypass|erase)(?:all|the|these|those|every|everyone|your|any|my|of)+(?:unit)?(?:tests?|checks?|"
    r"lockfile|rules?|instructions?|guards?)"
    r"|please(?:delete|remove|skip|disable|ignore|submit|run|execute|approve|overwrite)|submit(?:itnow|now|atonce|immediately)"
)
"""The same without anything between the words: in names of files, in identifiers, over broken lines."""


def _orders(text: str, pattern: re.Pattern[str]) -> bool:
    plain, *otherwise = readings(text)
    return (
        pattern.search(plain) is not None
        or languages.orders(visible(text))
        or any(map(_IN_CODE.search, otherwise))
        # What is encoded hides nothing that a program has to say.
        or any(_IN_TEXT.search(reading) or languages.orders(reading) for reading in decoded(text))
    )


_ORDERED = re.compile(_ORDERS, re.IGNORECASE)
_OURS = re.compile(
    r"\b(?:submit\w*|operators?|the\s+checks?|check\.\w+|(?:the|these|all|your)\s+tests|tests/|the\s+report|exit\s+code\s+to|"
    r"sandbox|your\s+(?:new\s+)?(?:task|job|goal|instructions)|start\s+over|before\s+you|replace\s+its|lock\s+file)|~/\.|https?://",
    re.IGNORECASE,
)
"""What a subagent's work is about, and a comment's reader's hardly ever."""


def _in_comments(code: str) -> bool:
    """Whether a line orders its reader to do something with what a subagent's work is about: code may say "you must" in
    a comment, yet not to whom the check is to be skipped."""
    plain, *_ = readings(code)
    return any(_ORDERED.search(line) and _OURS.search(line) for line in plain.split("\n"))


_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bsk-[\w-]{20,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{30,}|\bmt-[0-9a-z]{24,}|\bnpm_\w{30,}|\bpypi-\w{30,}"
    r"|(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?<![\w+.-])[a-z][a-z0-9+.-]{0,30}://[^\s/:@]+:[^\s/@]{3,}@"
    r"|(?:api[_-]?key|secret|token|passw(?:or)?d|authorization|credential)\w{0,40}[\"']?\s*[=:]\s*"
    r"(?:[\"'](?!\s)[^\"'\s{}$<>]{8,}[\"']|(?:bearer\s+)?(?=\S{0,200}\d)[\w+/=-]{20,})",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def flags(text: str, code: str = "") -> tuple[Flag, ...]:
    """What is to be held against a text, and against the code with it, both as they came. Code may say "you must" in a
    comment."""
    found = []
    names = "\n".join(squeezed(reading) for reading in readings(text))
    if _orders(text, _IN_TEXT) or _SQUEEZED.search(names) or (code and (_orders(code, _IN_CODE) or _in_comments(code))):
        found.append(Flag.INSTRUCTION)
    both = f"{text}\n{code}"
    if _SECRET.search(both):
        found.append(Flag.SECRET)
    if safe(both) != both.replace("\r\n", "\n"):
        found.append(Flag.ESCAPE)
    return tuple(found)


def without_colour(text: str) -> str:
    """The text without colours, which are all that most programs use escapes for."""
    return _COLOUR.sub("", text)
