"""Every envelope of a bundle is verified by securesystemslib, which shares no code with Interlock."""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from attested_samples import ALICE, Workshop
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # pyright: ignore[reportPrivateImportUsage] - theirs to export

from interlock.evidence.dsse import pae


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = Workshop(tmp_path_factory.mktemp("bundle")).begin()
    shop.approval()
    shop.run()
    shop.checkpoint()
    shop.keyring.rotate(ALICE, "human-alice")
    shop.keyring.rotate(ALICE, "log")
    return shop.export()


def keys(bundle: Path) -> dict[str, SSlibKey]:
    told = json.loads((bundle / "keys.json").read_bytes())["keys"]
    raw = {key["keyid"]: b64decode(key["vkey"].split("+", 2)[2])[1:] for key in told}
    return {name: SSlibKey(name, "ed25519", "ed25519", {"public": key.hex()}) for name, key in raw.items()}


def envelopes(bundle: Path) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted((bundle / "envelopes").iterdir())]


def opened(told: Any) -> Envelope:  # noqa: ANN401 - JSON of any shape
    """Read an envelope; from a copy, because theirs changes what it is given."""
    return Envelope.from_dict(copy.deepcopy(told))  # pyright: ignore[reportUnknownMemberType] - a bare dict


def test_every_signature_of_every_envelope_is_good(bundle: Path) -> None:
    known = keys(bundle)
    for told in envelopes(bundle):
        signers = [each["keyid"] for each in told["signatures"]]
        verified = opened(told).verify([known[keyid] for keyid in signers], len(signers))
        assert sorted(verified) == sorted(signers)
    assert len(envelopes(bundle)) == 10


def test_an_edited_payload_and_another_key_are_refused(bundle: Path) -> None:
    known = keys(bundle)
    told = envelopes(bundle)[0]
    [keyid, *_] = [each["keyid"] for each in told["signatures"]]
    edited = opened(told)
    edited.payload = edited.payload.replace(b'"predicateType"', b'"predicatetype"')
    with pytest.raises(VerificationError):
        edited.verify([known[keyid]], 1)
    stranger = SSlibKey(keyid, "ed25519", "ed25519", {"public": bytes(range(32)).hex()})
    with pytest.raises(VerificationError):
        opened(told).verify([stranger], 1)


def test_the_encoding_that_is_signed_is_the_same(bundle: Path) -> None:
    for told in envelopes(bundle):
        theirs = opened(told)
        assert theirs.pae() == pae(theirs.payload_type, theirs.payload)
