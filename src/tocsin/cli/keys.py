"""`tocsin keys`: who may sign what in a registry, and which registry this machine trusts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tocsin.cli import screens
from tocsin.cli.api_keys import api_app
from tocsin.cli.settings import Settings

if TYPE_CHECKING:
    from tocsin.registry import Registry, Standing

keys_app = typer.Typer(no_args_is_help=True, help="Make, show and rotate signing keys; choose whom to trust.")
keys_app.add_typer(api_app, name="api")

RoleName = Literal["root", "train", "channel"]
Role = Annotated[RoleName, typer.Argument(help="Whose key.")]
To = Annotated[Path | None, typer.Option("--to", help="Another folder than registry.keys.", metavar="FOLDER")]
Only = Annotated[RoleName | None, typer.Option("--role", help="This one alone; by default all three.")]
With = Annotated[
    list[Path] | None, typer.Option("--with", help="Folder of another holder's root key.", metavar="FOLDER")
]
Number = Annotated[int, typer.Argument(help="So many root keys must sign.", min=1, metavar="NUMBER")]
PinFile = Annotated[Path | None, typer.Argument(help="What `--export` wrote elsewhere; by default what is there now.")]
ExportTo = Annotated[
    Path | None, typer.Option("--export", help="Write down whom this machine trusts, for another one.")
]


@keys_app.command()
def new(ctx: typer.Context, role: Only = None, to: To = None) -> None:
    """Make the private keys that are not there yet. The first training does so by itself."""
    from tocsin.registry.keys import ROLES, Keyring, key_id

    settings: Settings = ctx.obj
    keyring = Keyring(to) if to else settings.project().registry.trust.keyring
    made: dict[str, str] = {name: key_id(keyring.make(name)) for name in ([role] if role else ROLES)}
    if settings.json:
        screens.document({"folder": str(keyring.folder), "keys": made})
    else:
        screens.listing(f"Keys in {keyring.folder}", made)


@keys_app.command()
def show(ctx: typer.Context) -> None:
    """Which keys hold which role, which of them are here, and how fresh the channels are."""
    settings: Settings = ctx.obj
    project = settings.project()
    registry, name = project.registry, project.config.name
    found = {**_trusted(registry), "channels": _freshness(registry, name)}
    if settings.json:
        screens.document(found)
        return
    roles, channels = found.pop("roles"), found.pop("channels")
    screens.listing("Registry", found)
    keys = [(role, key, "here" if here else "elsewhere") for role in roles for key, here in roles[role].items()]
    screens.grid([("role", "key", "private half"), *keys])
    screens.listing("Channels are fresh until", channels)


@keys_app.command()
def rotate(ctx: typer.Context, role: Role, brought: With = None) -> None:
    """Give a role to a new key. What the old one has signed stays true, what it signs from now on is refused."""
    from tocsin.registry.keys import key_id

    settings: Settings = ctx.obj
    registry = settings.project().registry
    registry.trust.keyring.bring(brought or ())
    key = key_id(registry.rotate(role))
    if settings.json:
        screens.document({"role": role, "key": key, "root": registry.trust.roots.last.number})
    else:
        screens.say(f"The {role} key is {key} from now on; its private half is {registry.trust.keyring.path(role)}.")


@keys_app.command()
def threshold(ctx: typer.Context, number: Number, brought: With = None) -> None:
    """How many root keys must sign what says who holds which role. Those at hand hold the root then, and no others."""
    from tocsin.registry.keys import key_id

    settings: Settings = ctx.obj
    registry = settings.project().registry
    registry.trust.keyring.bring(brought or ())
    registry.agree(number)
    root = registry.trust.roots.last
    keys = [key_id(key) for key in root.roles["root"]]
    if settings.json:
        screens.document({"threshold": root.threshold, "keys": keys, "root": root.number})
    else:
        screens.say(f"{root.threshold} of {len(keys)} root keys must sign from now on: {', '.join(keys)}.")


@keys_app.command()
def trust(ctx: typer.Context, file: PinFile = None, export: ExportTo = None) -> None:
    """Trust the registry that is there now, or the one that a file names; what was seen before is forgotten."""
    settings: Settings = ctx.obj
    registry = settings.project().registry
    if export:
        registry.trust.open()
        registry.trust.memory.export(export)
    elif file:
        registry.trust.memory.take(file)
        registry.trust.open()
    else:
        registry.trust.accept()
        if not registry.trust.roots.chain:
            _say_forgotten(as_json=settings.json)
            return
    found = _trusted(registry)
    if settings.json:
        screens.document(found)
    else:
        screens.say(f"Registry {found['registry']} with root {found['root']} is trusted.")


def _say_forgotten(*, as_json: bool) -> None:
    if as_json:
        screens.document({"registry": None})
    else:
        screens.say("What was seen before is forgotten, and nothing is there now: `tocsin train` begins a registry.")


def _trusted(registry: Registry) -> dict[str, Any]:
    from tocsin.registry.keys import ROLES, key_id

    registry.trust.open()
    root, keyring = registry.trust.roots.last, registry.trust.keyring
    here = {keyring.public(role) for role in ROLES}
    return {
        "registry": root.registry,
        "audience": root.audience,
        "root": root.number,
        "threshold": f"{root.threshold} of {len(root.roles['root'])}",
        "issued": root.issued,
        "keys": str(keyring.folder),
        "roles": {role: {key_id(key): key in here for key in root.roles[role]} for role in ROLES},
    }


def _freshness(registry: Registry, name: str) -> dict[str, str]:
    if name not in registry.names():
        return {}
    return {item.channel: _fresh_until(item) for item in registry.standings(name)}


def _fresh_until(item: Standing) -> str:
    if item.step is None:
        return f"not to be trusted: {item.problem.got}" if item.problem else "no step"
    return f"{item.step.expires}{' (past)' if item.stale else ''}"
