"""The Docker sandboxes of one run on one host."""

import asyncio
import contextlib
import io
import logging
import os
import secrets
import tarfile
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backends.sandboxes.docker.container import (
    FOLDERS,
    LABEL_HOME,
    LABEL_KIND,
    LABEL_RUN,
    LABEL_USES,
    Owner,
    binds,
    configuration,
    environment,
    home_digest,
)
from backends.sandboxes.docker.engine import BusyError, Engine, MissingError
from backends.sandboxes.docker.hosts import Host
from backends.sandboxes.docker.image import Say
from backends.sandboxes.docker.layers import layered
from backends.sandboxes.docker.readiness import fit
from backends.sandboxes.docker.sandbox import DockerSandbox
from backends.sandboxes.docker.scripts import MIRROR, MIRRORS, WORKSPACE
from backends.sandboxes.protocol import SandboxError
from store.domain.docker import DockerSettings
from store.errors import StoreError
from store.home import RunFolder
from store.lock import holder

LABEL_REVISION = "multitrack.revision"
_PIECE = 1 << 20
_AT_ONCE = 8
"""Removals that an engine is asked for at once."""

log = logging.getLogger("multitrack.sandboxes")


def _unsaid(_line: str) -> None:
    pass


@dataclass(frozen=True)
class _Prepared:
    """What every container of the run needs: the image's id, the mirror's volume, and the engine's processors."""

    image: str
    mirror: str
    cpus: int


class DockerSandboxes:
    """See `Sandboxes`. `folder` is the run's own for workspaces, in a folder of the run in a folder of all runs;
    `mirror` the bare clone of the operator's repository; `environ` the operator's environment, of which nothing goes
    into a container. `over` says of a run's name whether it has ended or is gone, so that its workspaces may go; by
    itself, a run is over when its folder is gone."""

    wall = True

    def __init__(
        self,
        run: str,
        folder: Path,
        mirror: Path,
        settings: DockerSettings,
        environ: Mapping[str, str],
        *,
        host: Host | None = None,
        over: Callable[[str], bool] | None = None,
    ) -> None:
        self._engine = Engine(host or Host("", environ))
        self._mirror = mirror.absolute()
        self._settings = settings
        self._runs = folder.absolute().parent.parent
        self._owner = Owner(home_digest(self._runs.parent), run, os.getpid())
        self._over = over or self._gone
        self._prepared: _Prepared | None = None
        self._preparing = asyncio.Lock()
        self._quota = bool(settings.disk)

    async def prepare(self, said: Say = _unsaid) -> None:
        """Build the image where there is a Dockerfile, saying how far it is a line at a time, and bring the mirror to
        the engine. `create` does it otherwise. SandboxError says what is wrong."""
        await self._needs(said)

    async def create(self, name: str, revision: str) -> DockerSandbox:
        """See `Sandboxes.create`."""
        called = self._owner.called(name)
        needs = await self._needs(_unsaid)
        await self._sandbox(name, called, revision).close()
        sandbox = self._sandbox(name, called, revision)
        try:
            await self._engine.call(lambda api: self._make(api, name, called, revision, needs))
            await sandbox.clone()
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    async def reopen(self, name: str, handle: str) -> DockerSandbox:
        """See `Sandboxes.reopen`. Where the container is gone, a new one goes on with its workspace."""
        called = self._owner.called(name)
        try:
            if handle != called:
                raise MissingError(handle)
            found = await self._engine.call(lambda api: api.inspect_volume(called))
            labels = found["Labels"] or {}
            if labels.get(LABEL_HOME) != self._owner.home or not labels.get(LABEL_REVISION):
                raise MissingError(handle)
        except MissingError:
            raise SandboxError(f"the workspace of {name} is gone ({handle}): somebody removed its volume") from None
        sandbox = self._sandbox(name, called, labels[LABEL_REVISION])
        await self._revive(name, called)
        return sandbox

    async def sweep(self) -> int:
        """Remove what earlier engines of this home left on the host: this run's containers, those of runs whose engine
        is dead, and the workspaces of runs that are over; how many containers there were of this run. What can't be
        removed is logged."""
        ours, removing = 0, []
        for found in await self._containers(LABEL_HOME, self._owner.home):
            run = found["Labels"].get(LABEL_RUN, "")
            if run == self._owner.run or not self._lives(run):
                removing.append(self._remove_container(found["Id"]))
                ours += run == self._owner.run
        for wrong in await _all(removing):
            log.warning("%s", wrong)
        # That reads a run's whole log, and a run has many volumes.
        over = cache(self._over)
        removing = []
        for found in await self._volumes(LABEL_HOME, self._owner.home):
            run, kind = found["Labels"].get(LABEL_RUN, ""), found["Labels"].get(LABEL_KIND)
            own = run == self._owner.run
            if (own or not self._lives(run)) and (kind == "mirror" or (not own and over(run))):
                removing.append(self._remove_volume(found["Name"]))
        for wrong in await _all(removing):
            log.warning("%s", wrong)
        self._prepared = None
        return ours

    async def leave(self) -> None:
        """Remove the run's containers, and leave its workspaces for the engine that goes on with it. SandboxError for
        what can't be removed, when everything else is."""
        await self._take_away(lambda kind: kind == "mirror")

    async def remove(self) -> None:
        """Remove all of the run: containers, workspaces, mirror. Safe to call twice. SandboxError as `leave`."""
        await self._take_away(lambda _kind: True)

    async def _take_away(self, meant: Callable[[str], bool]) -> None:
        """Remove the run's containers, and its volumes of the kinds that are meant."""
        self._prepared = None
        found = await self._containers(LABEL_RUN, self._owner.run)
        wrong = await _all([self._remove_container(one["Id"]) for one in found])
        found = await self._volumes(LABEL_RUN, self._owner.run)
        wrong += await _all(
            [self._remove_volume(one["Name"]) for one in found if meant(one["Labels"].get(LABEL_KIND, ""))]
        )
        if wrong:
            raise wrong[0]

    def _sandbox(self, name: str, called: str, revision: str) -> DockerSandbox:
        async def revive() -> None:
            await self._revive(name, called)

        return DockerSandbox(self._engine, name, called, revision, self._settings, revive)

    async def _needs(self, said: Say) -> _Prepared:
        async with self._preparing:
            if self._prepared is None:
                info = await self._engine.call(lambda api: api.info())
                image = await layered(self._engine, self._settings, said)
                if self._settings.dockerfile or self._settings.install:
                    # One that is only named was looked at before the run was ordered.
                    await self._engine.call(lambda _api: fit(self._settings, self._engine, image))
                mirror = await self._engine.call(lambda api: self._bring(api, image))
                self._prepared = _Prepared(image, mirror, int(info.get("NCPU") or 1))
            return self._prepared

    def _bring(self, api: Any, image: str) -> str:
        """A volume with the mirror in it; its name."""
        if not self._mirror.is_dir():
            raise SandboxError(f"the mirror of the repository is gone: {self._mirror}")
        name = self._owner.called(f"mirror-{secrets.token_hex(4)}")
        labels = self._owner.labels("mirror")
        api.create_volume(name, labels={**labels, LABEL_USES: image})
        carrier = ""
        try:
            mounted = {name: {"bind": MIRRORS, "mode": "rw,nocopy"}}
            config = configuration(api, self._settings, image, cpus=1, binds=mounted, labels=labels, environ={})
            carrier = api.create_container_from_config(config, f"{name}-carrier")["Id"]
            user, group = self._settings.ids
            with _Packing(self._mirror, Path(MIRROR).name, user, group) as pieces:
                api.put_archive(carrier, MIRRORS, pieces)
        except BaseException:
            if carrier:
                api.remove_container(carrier, force=True, v=True)
            api.remove_volume(name)
            raise
        api.remove_container(carrier, force=True, v=True)
        return name

    def _make(self, api: Any, name: str, called: str, revision: str, needs: _Prepared) -> None:
        """A running container with an empty workspace."""
        from docker.errors import APIError

        labels = {**self._owner.labels("workspace", name), LABEL_REVISION: revision, LABEL_USES: needs.image}
        try:
            api.create_volume(called, labels=labels, driver_opts=self._disk())
        except APIError as error:
            if not self._quota or "quota" not in str(error.explanation).lower():
                raise
            # What `ready` has said: the engine's file system can't hold a volume to a size.
            self._quota = False
            api.create_volume(called, labels=labels)
        self._container(api, name, called, needs)
        api.put_archive(called, WORKSPACE, _folders(*self._settings.ids))
        api.start(called)

    def _disk(self) -> dict[str, str] | None:
        return {"size": str(self._settings.disk)} if self._quota else None

    def _container(self, api: Any, name: str, called: str, needs: _Prepared) -> None:
        config = configuration(
            api,
            self._settings,
            needs.image,
            cpus=needs.cpus,
            binds=binds(called, needs.mirror),
            labels=self._owner.labels("sandbox", name),
            environ=environment(self._owner.run, name),
        )
        api.create_container_from_config(config, called)

    async def _revive(self, name: str, called: str) -> None:
        """Start the container again, or another on the workspace when it is gone."""
        needs = await self._needs(_unsaid)

        def start(api: Any) -> None:
            from docker.errors import APIError, NotFound

            try:
                if api.inspect_container(called)["State"]["Running"]:
                    return
                with contextlib.suppress(APIError):
                    api.start(called)
                    return
                # An engine that was killed has lost what it would start it from. The workspace is all that counts.
                api.remove_container(called, force=True, v=True)
            except NotFound:
                pass
            self._container(api, name, called, needs)
            api.start(called)

        try:
            await self._engine.call(start)
        except BusyError:
            # It is being removed, or started by somebody else.
            await asyncio.sleep(1.0)
            await self._engine.call(start)

    async def _containers(self, label: str, value: str) -> list[dict[str, Any]]:
        labels = [f"{label}={value}", f"{LABEL_HOME}={self._owner.home}"]
        found: list[dict[str, Any]] = await self._engine.call(
            lambda api: api.containers(all=True, filters={"label": labels})
        )
        return found

    async def _volumes(self, label: str, value: str) -> list[dict[str, Any]]:
        labels = [f"{label}={value}", f"{LABEL_HOME}={self._owner.home}"]
        found = await self._engine.call(lambda api: api.volumes(filters={"label": labels}))
        return list(found["Volumes"] or ())

    async def _remove_container(self, container: str) -> None:
        await self._engine.gone(lambda api: api.remove_container(container, force=True, v=True))

    async def _remove_volume(self, volume: str) -> None:
        await self._engine.gone(lambda api: api.remove_volume(volume, force=True))

    def _lives(self, run: str) -> bool:
        """Whether an engine works on a run of this home."""
        try:
            return bool(run) and "/" not in run and holder(RunFolder(self._runs / run).lock) is not None
        except StoreError:
            return True

    def _gone(self, run: str) -> bool:
        return not run or "/" in run or not (self._runs / run).exists()


async def _all(removing: Iterable[Coroutine[Any, Any, None]]) -> list[SandboxError]:
    """Do them all, some at a time; what went wrong."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(work: Coroutine[Any, Any, None]) -> SandboxError | None:
        async with few:
            try:
                await work
            except SandboxError as error:
                return error
        return None

    return [error for error in await asyncio.gather(*(one(work) for work in removing)) if error is not None]


class _Packing:
    """A folder as a tar, in pieces, as they are asked for: a mirror may be larger than memory. Links and devices, of
    which Git makes none, are left out."""

    def __init__(self, folder: Path, name: str, user: int, group: int) -> None:
        self._folder, self._name, self._ids = folder, name, (user, group)
        reading, writing = os.pipe()
        self._out, self._in = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._pack, name="docker-pack", daemon=True)

    def __enter__(self) -> Iterator[bytes]:
        self._thread.start()
        return self._pieces()

    def __exit__(self, *_exception: object) -> None:
        self._out.close()
        self._thread.join()

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._out.read(_PIECE):
            yield piece
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _owned(self, entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not entry.isreg() and not entry.isdir():
            return None
        entry.uid, entry.gid = self._ids
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    def _pack(self) -> None:
        try:
            with self._in, tarfile.open(fileobj=self._in, mode="w|") as tar:
                tar.add(self._folder, self._name, filter=self._owned)
        except BaseException as error:  # noqa: BLE001 - whoever reads the pieces gets it
            self._failed = error


def _folders(user: int, group: int) -> bytes:
    """The folders of an empty workspace, as a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.uid, entry.gid = user, group
            tar.addfile(entry)
    return packed.getvalue()
