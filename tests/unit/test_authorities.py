"""The SDK's certificate authorities in a package: all of them, under the names by which OpenSSL looks them up."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type as Type
from cryptography.x509.oid import NameOID

from stacks.constructs import authorities
from stacks.constructs.packages import build, host_target


def attribute(text: str, kind: Type, name: x509.ObjectIdentifier = NameOID.COMMON_NAME) -> x509.NameAttribute[str]:
    return x509.NameAttribute(name, text, _type=kind)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [  # by `openssl x509 -subject_hash` of OpenSSL 3.0.19
        ([[attribute("Två ORD", Type.UTF8String)]], "d2b52ab2"),
        ([[attribute("  Två\t  ORD ", Type.BMPString)]], "d2b52ab2"),
        ([[attribute("ÅÄÖ Root", Type.UniversalString)]], "de33c654"),
        ([[attribute("Plain  CA", Type.T61String)]], "161a2daa"),
        ([[attribute("CA@Example.COM", Type.IA5String, NameOID.EMAIL_ADDRESS)]], "4736c92d"),
        (
            [[attribute("Root", Type.UTF8String)], [attribute("12 34", Type.NumericString, NameOID.SERIAL_NUMBER)]],
            "55634226",
        ),
        (
            [
                [
                    attribute("Zed", Type.UTF8String),
                    attribute("SE", Type.PrintableString, NameOID.COUNTRY_NAME),
                ],
                [attribute("x" * 200, Type.UTF8String, NameOID.ORGANIZATION_NAME)],
            ],
            "fb23f1f2",
        ),
    ],
)
def test_a_name_has_openssls_hash(attributes: list[list[x509.NameAttribute[str]]], expected: str) -> None:
    name = x509.Name([x509.RelativeDistinguishedName(each) for each in attributes])
    assert authorities.name_hash(name.public_bytes()) == expected


def test_a_package_has_all_authorities_of_the_sdk() -> None:
    folder = build("order_notifier", host_target()).folder / authorities.FOLDER
    files = sorted(folder.iterdir())
    packed = sorted(path.read_text().strip() for path in files)
    end = "-----END CERTIFICATE-----"
    listed = authorities.SDK_LIST.read_text(encoding="utf-8").split(end)[:-1]
    assert packed == sorted(each[each.index("-----BEGIN") :] + end for each in listed)
    # Amazon Root CA 1, Starfield Services G2, and one whose name is not in ASCII, as `openssl rehash` names them.
    assert {"ce5e74ef.0", "09789157.0", "988a38cb.0"} <= {path.name for path in files}


def test_authorities_of_one_name_have_a_file_each(tmp_path: Path) -> None:
    first = authorities.SDK_LIST.read_text(encoding="utf-8").partition("-----END CERTIFICATE-----")
    (tmp_path / "twice.pem").write_text("".join(first[:2]) + "\n" + "".join(first[:2]))
    authorities.write(tmp_path / "twice.pem", tmp_path / "folder")
    names = sorted(path.name.partition(".") for path in (tmp_path / "folder").iterdir())
    assert [number for _, _, number in names] == ["0", "1"]
    assert names[0][0] == names[1][0]


def test_what_asks_no_service_of_aws_has_none() -> None:
    assert not (build("sales_data_extractor", host_target()).folder / authorities.FOLDER).exists()
