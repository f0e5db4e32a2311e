"""Writes docs/licences.md: under which licences the packages are that ship in functions, and those that work on them.

`make licences` writes it from what is installed: the functions' packages as they are built for AWS, and the virtual
environments. What ships has to be under a licence of `ALLOWED`, and the texts that its licence asks for in the package.
What nothing says (the libraries inside Pillow's wheel) stands here, and a library that does not stops the command.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from shop.errors import ShopError
from shop.local import tools
from stacks.constructs import packages

PAGE = tools.ROOT / "docs" / "licences.md"
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "IJG", "ISC", "MIT", "MIT-CMU", "MIT-open-group", "PSF-2.0",
    "X11", "Zlib", "libtiff",
}  # fmt: skip
"""What may ship (SPDX identifiers): licences that ask for their text or a notice, and for nothing of the shop's own."""
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Zope Public License": "ZPL-2.1",
}
"""PyPI's classifiers in SPDX's names, as far as they say which licence it is: "BSD" may be one of several."""
_WORKS_FOR = {
    "requirements.txt": "synthesis, commands",
    "requirements-dev.txt": "tests, lint, type checks",
    "requirements-local.txt": "the local cloud's emulator",
}
_LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}

_PAGE = """\
# Licences

Written by `make licences` from what is installed; a test fails where it has drifted.

## What ships in functions

Nothing but these is deployed to AWS with the shop's own code; Lambda brings Python and boto3 itself. A test allows no
licence that asks for more than its text or a notice, and wants the text in every package that has the code.

{shipped}

Pillow's wheel has these libraries inside, as far as `lambdas/image_resizer/exclude.txt` leaves them; the licences of
all are in Pillow's own file.

{libraries}

The image functions are based in part on the work of the Independent JPEG Group.

## What works on it, and ships nowhere

On developers' machines and in automation; `requirements*.txt` has the versions. What ships is not repeated here.

{development}

Programs beside them: from npm the CDK command line ({cdk}), htmx and idiomorph (both 0BSD), which the console page is
served with, and for tests axe-core (MPL-2.0); and where the machine has none of its own, Node (MIT,
with the licences of its parts in the wheel) and MariaDB (GPL-2.0-only, a server that nothing is linked with).
`make audit-dependencies` fetches pip-audit (Apache-2.0), `make bench` pyvips (MIT) and pyvips-binary
(LGPL-3.0-or-later, with libvips).
"""


@dataclass(frozen=True)
class Shipped:
    """A distribution in functions' packages."""

    name: str
    version: str
    licence: str
    texts: tuple[str, ...]
    """The paths in the package of the licence's texts."""
    functions: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """A library that Pillow's wheel brings compiled."""

    name: str
    licence: str
    heading: str
    """Where its licence begins in Pillow's LICENSE."""


LIBRARIES = {
    "libXau": Library("libXau", "MIT-open-group", "XAU"),
    "libjpeg": Library("libjpeg-turbo", "IJG AND BSD-3-Clause", "LIBJPEG"),
    "liblcms2": Library("Little CMS", "MIT", "LCMS2"),
    "liblzma": Library("XZ Utils' liblzma", "0BSD", "LIBLZMA"),
    "libopenjp2": Library("OpenJPEG", "BSD-2-Clause", "OPENJPEG"),
    "libsharpyuv": Library("libwebp's libsharpyuv", "BSD-3-Clause", "LIBWEBP"),
    "libtiff": Library("libtiff", "libtiff", "LIBTIFF"),
    "libwebp": Library("libwebp", "BSD-3-Clause", "LIBWEBP"),
    "libwebpdemux": Library("libwebp's libwebpdemux", "BSD-3-Clause", "LIBWEBP"),
    "libwebpmux": Library("libwebp's libwebpmux", "BSD-3-Clause", "LIBWEBP"),
    "libxcb": Library("libxcb", "X11", "XCB"),
    "libzstd": Library("Zstandard", "BSD-3-Clause", "ZSTD"),
}
"""By the name of the file without version, as Pillow's LICENSE and the libraries' own projects say."""


def licence_of(about: Message) -> str:
    """The licence that a distribution's metadata states, as SPDX expression where it says so precisely.

    Core metadata specifications: `License-Expression`, else `License` where it is an expression, else classifiers.
    Raises ShopError where there is none that is understood.
    """
    for field in ("License-Expression", "License"):
        try:
            return canonicalize_license_expression(about.get(field, ""))
        except InvalidLicenseExpression:
            continue
    classifiers = (line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if "License ::" in line)
    stated = [_CLASSIFIERS[classifier] for classifier in classifiers if classifier in _CLASSIFIERS]
    if not stated:
        raise ShopError(f"{about['Name']}: its metadata states no licence that shop/licences.py knows")
    return ", ".join(stated)


def is_allowed(licence: str) -> bool:
    """Whether what is under this licence may ship; an expression with both AND and OR is for a person to judge."""
    if " AND " in licence and " OR " in licence:
        return False
    if " OR " in licence:
        return not ALLOWED.isdisjoint(licence.split(" OR "))
    return ALLOWED.issuperset(licence.split(" AND "))


def shipped() -> list[Shipped]:
    """What the functions' packages for AWS have of other people's. Raises ShopError where a licence's text is not."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for function in packages.functions():
        folder = packages.build(function, packages.aws_target()).folder
        for place in sorted(folder.glob("*.dist-info")):
            found.setdefault(place.name, []).append((function, place))
    return sorted((_shipped(places) for places in found.values()), key=lambda each: each.name.lower())


def _shipped(places: list[tuple[str, Path]]) -> Shipped:
    about = HeaderParser().parsestr((places[0][1] / "METADATA").read_text())
    names = about.get_all("License-File", [])
    if not names:
        raise ShopError(f"{about['Name']}: its metadata names no text of its licence")
    # Each function has an exclude.txt of its own.
    texts = [tuple(text_of_licence(function, folder, name) for name in names) for function, folder in places]
    functions = tuple(function for function, _ in places)
    return Shipped(about["Name"], about["Version"], licence_of(about), texts[0], functions)


def text_of_licence(function: str, folder: Path, name: str) -> str:
    """The path in the package of a licence's text, from the `.dist-info` folder and the name in its metadata.

    PEP 639 has it in `licenses/`, older metadata beside it. Raises ShopError where it is in neither.
    """
    for place in (folder / "licenses" / name, folder / name):
        if place.is_file():
            return place.relative_to(folder.parent).as_posix()
    raise ShopError(f"{function}: its package lacks {folder.name}'s {name}, the text of a licence")


def libraries() -> list[Library]:
    """The libraries in the image functions' package. Raises ShopError where one or its licence's text is not known."""
    folder = packages.build("image_resizer", packages.aws_target()).folder
    [text] = folder.glob("pillow-*.dist-info/licenses/LICENSE")
    headings = set(text.read_text().splitlines())
    found = [library_in(path.name) for path in sorted(folder.glob("*.libs/*"))]
    for library in found:
        if library.heading not in headings:
            raise ShopError(f"{library.name}: {text.name} has no heading {library.heading}")
    return found


def library_in(file: str) -> Library:
    """The library that a file of Pillow's wheel is. Raises ShopError for one whose licence does not stand here."""
    name = re.split(r"[-.]", file)[0]
    if name not in LIBRARIES:
        raise ShopError(f"{file}: shop/licences.py does not know the licence of this library in Pillow's wheel")
    return LIBRARIES[name]


def development(without: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Name, licence and purpose of what the virtual environments have, without some names; for Linux.

    Raises ShopError where a package is not installed or states no licence.
    """
    passed_over = {canonicalize_name(name) for name in without}
    purposes: dict[str, list[str]] = {}
    licences: dict[str, str] = {}
    for lock, purpose in _WORKS_FOR.items():
        installed = _installed(tools.EMULATOR if lock == "requirements-local.txt" else tools.VENV)
        for name in names_in((tools.ROOT / lock).read_text()) - passed_over:
            if name not in installed:
                raise ShopError(f"{name}: {lock} has it and it is not installed; make setup does that")
            purposes.setdefault(name, []).append(purpose)
            licences[name] = licence_of(installed[name])
    return ((name, licences[name], "; ".join(purposes[name])) for name in sorted(purposes))


def names_in(lock: str) -> set[str]:
    """The packages that a lock file has for Linux, whatever the Python version."""
    entries = re.findall(r"^([a-z0-9-]+)==[^\s;]+(?: ; ([^\\\n]+))?", lock, re.MULTILINE)
    return {name for name, marker in entries if not marker or _is_for_linux(marker)}


def _is_for_linux(marker: str) -> bool:
    about_versions_only = "sys_platform" not in marker and "python_" in marker
    return about_versions_only or Marker(marker.strip()).evaluate(_LINUX)


def _installed(venv: Path) -> Mapping[str, Message]:
    folders = [str(path) for path in venv.glob("lib/python*/site-packages")]
    found = (HeaderParser().parsestr(each.read_text("METADATA") or "") for each in metadata.distributions(path=folders))
    return {canonicalize_name(about["Name"]): about for about in found if about["Name"]}


def page() -> str:
    """The text of docs/licences.md. Raises ShopError where a licence or its text is missing."""
    ships = shipped()
    cdk = json.loads((tools.NODE_MODULES / "aws-cdk" / "package.json").read_text())["license"]
    return _PAGE.format(
        shipped=_table(
            ("package", "version", "licence", "its text in the package", "in the functions"),
            ((each.name, each.version, each.licence, _code(each.texts), _code(each.functions)) for each in ships),
        ),
        libraries=_table(
            ("library", "licence", "heading in Pillow's `LICENSE`"),
            ((each.name, each.licence, each.heading) for each in libraries()),
        ),
        development=_table(("package", "licence", "for"), development(each.name for each in ships)),
        cdk=cdk,
    )


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ("---",) * len(head), *rows])


def main() -> int:
    """Writes the page. Returns the exit code."""
    try:
        text = page()
    except (ShopError, packages.PackageError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command's error
        return 1
    PAGE.write_text(text)
    print(f"wrote {PAGE.relative_to(tools.ROOT)}", file=sys.stderr)  # noqa: T201 - a command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
