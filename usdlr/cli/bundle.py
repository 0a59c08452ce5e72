"""``usdlr bundle``: look into a bundle, verify it, sign it, and make one file of it."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest

PASSPHRASE = "USDLR_KEY_PASSPHRASE"  # noqa: S105  # the name of the variable
ACTIONS = {
    "inspect": "what a bundle predicts, for whom, what it promises, and what is in it",
    "verify": "whether every file is as it was written, and who signed it",
    "keygen": "make a key pair to sign with",
    "sign": "vouch for a bundle with your key",
    "export": "write a bundle as one .usdlr file",
}


def execute(argv: Sequence[str]) -> None:
    """Run one action.

    Raises
    ------
    ConfigError
        If there is none of that name, or an option is wrong.
    """
    name = argv[0] if argv else ""
    if name in ("-h", "--help"):
        print("usage: usdlr bundle ACTION ...\n")
        print("\n".join(f"  {known:<8} {text}" for known, text in ACTIONS.items()))
        return
    actions: dict[str, Callable[[Sequence[str]], None]] = {
        "inspect": _inspect,
        "verify": _verify,
        "keygen": _keygen,
        "sign": _sign,
        "export": _export,
    }
    if name not in actions:
        raise ConfigError(
            f"found the action {name!r}, expected one of {', '.join(ACTIONS)}{nearest(name, ACTIONS)}; "
            "see usdlr bundle --help"
        )
    actions[name](argv[1:])


def _inspect(argv: Sequence[str]) -> None:
    parser = new_parser("bundle inspect", "Say what a bundle is; it is verified first.")
    parser.add_argument("bundle", type=str, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parse(parser, argv)
    from usdlr.inference.describe import bundle_lines, describe_bundle

    found = describe_bundle(Path(options.bundle))
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else "\n".join(bundle_lines(found)))


def _verify(argv: Sequence[str]) -> None:
    parser = new_parser("bundle verify", "Verify every file of a bundle, every member, and its signature.")
    parser.add_argument("bundle", type=str, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--public_key", type=str | None, default=None, help="key that must have signed it, PEM")
    options = parse(parser, argv)
    from usdlr.inference.bundle import load_bundle

    path = Path(options.bundle)
    key = None if options.public_key is None else Path(options.public_key)
    bundle = load_bundle(path, public_key=key)
    assert bundle.source is not None
    for fold in bundle.source.folds:
        load_bundle(path, member=fold)
    source = bundle.source
    print(f"{path}: bundle {bundle.bundle_id}, {len(source.manifest['files'])} files as they were written")
    print(f"  SHA-256 of the manifest: {bundle.digest}")
    print(f"  members: {', '.join([bundle.member.name, *source.folds])}")
    if bundle.signed_by is None:
        print("  not signed: it is whole, but nobody vouches for it")
    elif key is None:
        print(f"  signed by {bundle.signed_by}; give --public_key to demand a signer whom you know")
    else:
        print(f"  signed by {bundle.signed_by}, the signer you demand")


def _keygen(argv: Sequence[str]) -> None:
    parser = new_parser("bundle keygen", f"Make an Ed25519 key pair. The passphrase comes from {PASSPHRASE}.")
    parser.add_argument("--out", type=str, required=True, help="private key to write, PEM; the public one gets .pub")
    options = parse(parser, argv)
    from usdlr.inference.signing import write_key_pair

    path = Path(options.out)
    secret = _passphrase("Passphrase of the new key (empty for none): ")
    name = write_key_pair(path, secret)
    print(f"{path}: private key{'' if secret else ' without a passphrase'}; keep it to yourself")
    print(f"{path}.pub: public key {name}; give it to those who are to check your signature, by another way")


def _sign(argv: Sequence[str]) -> None:
    parser = new_parser("bundle sign", f"Sign a bundle. The key's passphrase comes from {PASSPHRASE}, or is asked for.")
    parser.add_argument("bundle", type=str, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--key", type=str, required=True, help="private key, PEM")
    options = parse(parser, argv)
    from usdlr.inference.export import sign_bundle
    from usdlr.inference.signing import is_encrypted, read_private_key

    key = Path(options.key)
    secret = _passphrase(f"Passphrase of {key.name}: ") if is_encrypted(key) else None
    made = sign_bundle(Path(options.bundle), read_private_key(key, secret))
    print(f"{options.bundle}: signed by {made.signer}")


def _export(argv: Sequence[str]) -> None:
    parser = new_parser("bundle export", "Write a bundle as one file; the same bundle gives the same bytes.")
    parser.add_argument("bundle", type=str, help="folder that usdlr run wrote, or .usdlr file")
    parser.add_argument("--out", type=str, required=True, help="file to write, .usdlr")
    parser.add_argument("--without_folds", action="store_true", help="only the member that ships")
    parser.add_argument("--onnx", action="store_true", help="write every network as ONNX too, compared with torch")
    options = parse(parser, argv)
    from usdlr.inference.export import export_bundle
    from usdlr.inference.verified import verified

    path, out = Path(options.bundle), Path(options.out)
    before = verified(path, lambda name: False)
    for one in export_bundle(path, out, folds=not options.without_folds, onnx=options.onnx):
        print(
            f"  {one.file}: {one.size / (1 << 20):.1f} MiB, differs from torch by at most {one.difference:.1g} in "
            f"log-odds; 9 image sets take {one.onnx_ms:.0f} ms, with torch {one.torch_ms:.0f} ms"
        )
    after = verified(out, lambda name: False)
    if before.signature is not None and after.signature is None:
        print("  the signature is gone, for this is another bundle now; `usdlr bundle sign` signs it")
    print(f"bundle {after.digest[:12]}, {out.stat().st_size / (1 << 20):.1f} MiB: {out}")


def _passphrase(question: str) -> bytes | None:
    """From the environment, or asked for on a terminal; ``None`` for none."""
    given = os.environ.get(PASSPHRASE)
    if given is None and sys.stdin.isatty():
        given = getpass.getpass(question)
    return given.encode("utf-8") if given else None
