"""The licences: what ships may ship and has its licence's text, and the page says what is so. No network."""

import sys
from email.message import Message
from pathlib import Path

import pytest

from shop import licences
from shop.errors import ShopError
from shop.licences import LIBRARIES, is_allowed, library_in, licence_of, names_in, text_of_licence
from stacks.constructs import packages


def metadata(**fields: str) -> Message:
    """A distribution's metadata; underscores in names stand for hyphens, lines of a classifier for several."""
    about = Message()
    about["Name"] = "tool"
    for name, value in fields.items():
        for line in value.splitlines():
            about[name.replace("_", "-")] = line
    return about


MIT = "License :: OSI Approved :: MIT License"
APACHE = "License :: OSI Approved :: Apache Software License"


@pytest.mark.parametrize(
    ("about", "licence"),
    [
        (metadata(License_Expression="mit or apache-2.0", Classifier=APACHE), "MIT OR Apache-2.0"),
        (metadata(License="BSD-3-Clause", Classifier="License :: OSI Approved :: BSD License"), "BSD-3-Clause"),
        (metadata(License="The MIT License (MIT)", Classifier=MIT), "MIT"),
        (metadata(License="Dual License", Classifier=f"{MIT}\n{APACHE}"), "MIT, Apache-2.0"),
        (metadata(License="Apache-2.0", Classifier="License :: OSI Approved"), "Apache-2.0"),
    ],
)
def test_the_most_precise_statement_of_a_licence_counts(about: Message, licence: str) -> None:
    assert licence_of(about) == licence


@pytest.mark.parametrize("about", [metadata(), metadata(License="as you like", Classifier="License :: OSI Approved")])
def test_a_package_that_states_no_known_licence_is_named(about: Message) -> None:
    with pytest.raises(ShopError, match=r"tool: .*no licence"):
        licence_of(about)


@pytest.mark.parametrize("licence", ["MIT", "IJG AND BSD-3-Clause", "BSD-3-Clause OR GPL-2.0-only"])
def test_licences_that_ask_for_their_text_may_ship(licence: str) -> None:
    assert is_allowed(licence)


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-or-later", "MIT AND LGPL-3.0-or-later", "MIT, BSD", "BSD", "(MIT OR GPL-2.0-only) AND MIT", ""]
)
def test_other_licences_and_unclear_ones_may_not(licence: str) -> None:
    assert not is_allowed(licence)


@pytest.mark.slow
def test_what_ships_may_ship() -> None:
    terms = {each.name: each.licence for each in licences.shipped()}
    terms |= {each.name: each.licence for each in licences.libraries()}
    assert {"pillow", "libjpeg-turbo"} < terms.keys()
    assert {name: licence for name, licence in terms.items() if not is_allowed(licence)} == {}


def test_a_package_without_its_licences_text_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tool-1.0.dist-info"
    (folder / "licenses").mkdir(parents=True)
    (folder / "licenses" / "LICENSE").touch()
    (folder / "NOTICE").touch()
    assert text_of_licence("greeter", folder, "LICENSE") == "tool-1.0.dist-info/licenses/LICENSE"
    assert text_of_licence("greeter", folder, "NOTICE") == "tool-1.0.dist-info/NOTICE"
    with pytest.raises(ShopError, match=r"greeter: .*tool-1\.0\.dist-info's COPYING"):
        text_of_licence("greeter", folder, "COPYING")


def test_every_librarys_licence_is_known() -> None:
    assert library_in("libtiff-20b7e810.so.6.3.0") == LIBRARIES["libtiff"]
    with pytest.raises(ShopError, match=r"libheif-1a2b3c4d\.so\.1"):
        library_in("libheif-1a2b3c4d.so.1")
    folder = packages.build("image_resizer", packages.aws_target()).folder
    assert len(licences.libraries()) == len(list((folder / "pillow.libs").iterdir()))


def test_a_lock_is_read_for_linux_and_all_python_versions() -> None:
    hashes = " \\\n    --hash=sha256:00\n    # via tool\n"
    markers = {"a": "", "b": " ; sys_platform == 'win32'", "c": " ; python_full_version < '3.2'"}
    markers |= {"d": " ; sys_platform == 'linux'", "e": " ; platform_python_implementation != 'PyPy'"}
    assert names_in("".join(f"{name}==1.0{marker}{hashes}" for name, marker in markers.items())) == {*"acde"}


# Elsewhere packages that are for Linux only are not installed, so there is no licence of theirs to be read.
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what is installed on Linux only is in the page")
def test_the_page_says_what_is_installed() -> None:
    assert licences.PAGE.read_text() == licences.page(), "make licences writes it anew"
