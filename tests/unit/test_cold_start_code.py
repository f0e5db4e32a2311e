"""What functions' code does before their first event: rules over the text of lambdas/, each shown to fail.

Each client that is made and each call at import is paid for at every cold start, needed or not. How long imports take
is measured elsewhere (`make bench`); this keeps clients and calls where they belong.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_LAMBDAS = Path(__file__).parents[2] / "lambdas"
_FILES = sorted(path.relative_to(_LAMBDAS).as_posix() for path in _LAMBDAS.rglob("*.py"))
_MAKES_CLIENTS = {
    "boto3.client",
    "boto3.resource",
    "boto3.Session",
    "boto3.session.Session",
    "botocore.session.Session",
    "make_client",
}
_WORKS = {
    "open", "read_text", "read_bytes", "urlopen", "connect", "sleep", "run", "check_output", "getaddrinfo",
    "create_default_context", "get_credentials", "now", "today", "ZoneInfo",
}  # fmt: skip
"""The last part of calls that read, wait, or take what is only true at the time of an event."""
_MADE_FOR_EACH_EVENT = {
    # Its time limit is what is left of the event's own, and it runs at deployments only.
    ("database_setup/handler.py", "_lambda_client"),
}


def findings(file: str, source: str) -> Iterator[str]:
    """What a file of functions' code does too early, or again and again."""
    tree = ast.parse(source)
    yield from _done_at_import(file, tree)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _clients_again(file, function)
    for statement in tree.body:  # under TYPE_CHECKING they are within an `if`
        if isinstance(statement, ast.Import | ast.ImportFrom) and "mypy_boto3" in ast.unparse(statement):
            yield f"{file}:{statement.lineno}: imports types, which the package does not even have"


def _done_at_import(file: str, tree: ast.Module) -> Iterator[str]:
    clients: set[str] = set()
    for statement in tree.body:
        for call in _calls_at_import(statement):
            name = ast.unparse(call.func)
            if name in _MAKES_CLIENTS:
                clients |= _targets(statement)
                if not file.endswith("/handler.py"):
                    yield f"{file}:{call.lineno}: makes a client at import, for whoever imports it"
            elif name.rpartition(".")[2] in _WORKS or (name.partition(".")[0] in clients and not _is_local(name)):
                yield f"{file}:{call.lineno}: calls {name} at import"
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for name in sorted(clients - used):
        yield f"{file}: makes {name} and does not use it"


def _is_local(name: str) -> bool:
    """Whether a method of a client prepares it, and sends nothing."""
    return name.endswith(".meta.events.register")


def _calls_at_import(statement: ast.stmt) -> Iterator[ast.Call]:
    """The calls that run when the module is imported: not those in the bodies of functions and lambdas."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            yield node


def _targets(statement: ast.stmt) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _clients_again(file: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    kept = any(ast.unparse(decorator).startswith("functools.cache") for decorator in function.decorator_list)
    if kept or (file, function.name) in _MADE_FOR_EACH_EVENT:
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _MAKES_CLIENTS:
            yield f"{file}:{node.lineno}: {function.name} makes a client each time"


@pytest.mark.parametrize("file", _FILES)
def test_clients_are_made_once_and_nothing_is_done_before_the_first_event(file: str) -> None:
    assert list(findings(file, (_LAMBDAS / file).read_text())) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("a/handler.py", "def handler(event, context):\n    boto3.client('s3').get_object()"),
        ("a/handler.py", "def handler(event, context):\n    def work(): return boto3.resource('s3')\n    work()"),
        ("a/store.py", "_s3 = boto3.client('s3')\ndef put(): _s3.put_object()"),
        ("a/store.py", "class Store:\n    s3 = boto3.client('s3')"),
        ("a/store.py", "def put(s3=boto3.client('s3')): s3.put_object()"),
        ("a/handler.py", "_s3 = boto3.client('s3')\ndef handler(event, context): ..."),
        ("a/handler.py", "_sm = boto3.client('secretsmanager')\n_PASSWORD = _sm.get_secret_value(SecretId='x')"),
        ("a/handler.py", "_TEXT = Path(__file__).with_name('x.sql').read_text()"),
        ("a/handler.py", "with open('/etc/hosts') as file: _HOSTS = file.read()"),
        ("a/handler.py", "_DATABASE = pymysql.connect(host='db')"),
        ("a/handler.py", "_TODAY = datetime.now(UTC).date()"),
        ("a/handler.py", "from mypy_boto3_s3 import S3Client"),
    ],
)  # fmt: skip
def test_what_a_cold_start_need_not_pay_for_is_found(file: str, source: str) -> None:
    assert list(findings(file, source))


def test_a_client_that_is_kept_or_made_at_import_is_taken() -> None:
    assert not list(findings("a/x.py", "@functools.cache\ndef _s3(): return boto3.client('s3')"))
    assert not list(
        findings("a/handler.py", "_s3 = boto3.client('s3')\ndef handler(event, context): _s3.head_bucket()")
    )
    prepared = "_s3 = make_client('s3')\n_s3.meta.events.register('before-call', add)"
    assert not list(findings("a/handler.py", f"{prepared}\ndef handler(event, context): _s3.head_bucket()"))


def test_each_exception_is_needed() -> None:
    for file, function in _MADE_FOR_EACH_EVENT:
        found = findings("elsewhere/handler.py", (_LAMBDAS / file).read_text())
        assert any(finding.endswith(f": {function} makes a client each time") for finding in found)
