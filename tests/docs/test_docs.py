"""The documentation says what is there: pages are current, and every name, command and query in them exists."""

import importlib.util
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from sqlalchemy import Connection, text

from vascodb import __version__
from vascodb.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "reference"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.parent != GENERATED]

FENCE = re.compile(r"^ *```(?P<kind>\w*)\n(?P<content>.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
IN_SCHEMA = re.compile(r"\b(?:plate|ref|vasco|sky|stage|api|meta|staging)\.[a-z_][a-z_0-9]*(?:\.[a-z_][a-z_0-9]*)?\b")
FILE_NAME = re.compile(r"\.(sql|toml|py|md|fits|csv|json)$")
VARIABLE = re.compile(r"\bVASCODB_[A-Z]+\b")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)")

# Words that end a command of ours on a shell's line.
SHELL_OPERATORS = {"|", ">", ">>", "&&", "||", ";", "<"}


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *kinds: str) -> list[str]:
    """Content of the fenced blocks of these kinds."""
    return [match["content"] for match in FENCE.finditer(page.read_text()) if match["kind"] in kinds]


def command_lines(page: Path) -> Iterator[list[str]]:
    """Every command line in the page's shell blocks, continued lines joined, comments left out."""
    for block in blocks(page, "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line.removeprefix("$ "), comments=True)


def calls(page: Path, program: str) -> Iterator[list[str]]:
    """Arguments of every call of a program, wherever it stands on its line."""
    for words in command_lines(page):
        for start, word in enumerate(words):
            begins = all("=" in before for before in words[:start]) or words[start - 1] in SHELL_OPERATORS
            if begins and word.rpartition("/")[2] == program:
                end = next((i for i, w in enumerate(words[start:], start) if w in SHELL_OPERATORS), len(words))
                yield words[start + 1 : end]


def parse(arguments: list[str]) -> None:
    """Parse a command line of ours as far as possible without running it."""
    at = next((i for i, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    if at == len(arguments):
        assert set(arguments) <= {name for option in cli.params for name in option.opts} | {"-h", "--help"}, arguments
        return
    verb = arguments[at]
    assert verb in cli.commands, f"no verb {verb}"
    cli.make_context("vascodb", [*arguments[:at], verb])
    with_help = {"-h", "--help"} & set(arguments)
    if not with_help:
        cli.commands[verb].make_context(verb, arguments[at + 1 :])


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known_names(module_database) -> set[str]:
    """Schema-qualified names of all relations, their columns, functions, and types."""
    with module_database.connect() as connection:
        rows = connection.execute(
            text("""
                WITH ours AS (
                    SELECT oid, nspname FROM pg_namespace
                    WHERE nspname IN ('plate', 'ref', 'vasco', 'sky', 'stage', 'api', 'meta', 'staging')
                )
                SELECT nspname || '.' || relname FROM pg_class JOIN ours ON ours.oid = relnamespace
                UNION
                SELECT nspname || '.' || relname || '.' || attname
                FROM pg_class JOIN ours ON ours.oid = relnamespace JOIN pg_attribute ON attrelid = pg_class.oid
                UNION
                SELECT nspname || '.' || proname FROM pg_proc JOIN ours ON ours.oid = pronamespace
                UNION
                SELECT nspname || '.' || typname FROM pg_type JOIN ours ON ours.oid = typnamespace
            """)
        )
        return set(rows.scalars())


@pytest.fixture(scope="module")
def known_variables() -> set[str]:
    """Environment variables that anything shipped reads."""
    shipped = [ROOT / "docker-compose.yml"]
    for folder in ("vascodb", "scripts", "docker"):
        shipped += [p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc"]
    content = "\n".join(p.read_text(errors="ignore") for p in shipped)
    return set(VARIABLE.findall(content))


def test_reference_pages_are_what_the_code_says(generator, connection: Connection) -> None:
    """`make docs` mends it."""
    pages = generator.pages(connection)
    assert {path.name for path in GENERATED.iterdir()} == set(pages)
    stale = [name for name, content in pages.items() if (GENERATED / name).read_text() != content]
    assert not stale, "run: make docs"


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_verb_and_option_has_help(verb: str) -> None:
    command = cli.commands[verb]
    first = (command.help or "").partition("\n")[0]
    assert first.endswith("."), "the first line is a sentence of its own, for the list of verbs"
    assert len(first) <= 60, "the list of verbs cuts longer ones off"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
        else:
            assert re.search(rf"\b{parameter.human_readable_name}\b", command.help or ""), parameter.name


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_the_example_in_every_help_is_a_command(verb: str) -> None:
    word, _, example = (cli.commands[verb].epilog or "").partition(": ")
    assert word == "Example"
    program, *arguments = shlex.split(example)
    assert (program, arguments[0]) == ("vascodb", verb)
    parse(arguments)


@pytest.mark.parametrize("page", WRITTEN, ids=relative)
def test_commands_exist(page: Path) -> None:
    for arguments in calls(page, "vascodb"):
        parse(arguments)


@pytest.mark.parametrize("page", WRITTEN, ids=relative)
def test_verbs_and_options_in_running_text_exist(page: Path) -> None:
    parameters = [p for command in (cli, *cli.commands.values()) for p in command.params]
    options = {"--help"} | {name for p in parameters for name in (*p.opts, *p.secondary_opts)}
    for span in INLINE.findall(FENCE.sub("", page.read_text())):
        words = span.split()
        if words[0].rpartition("/")[2] == "vascodb" and len(words) > 1:
            assert words[1] in cli.commands or words[1].startswith("-"), span
        if words[0].startswith("--"):
            assert words[0] in options, span


@pytest.mark.parametrize("page", WRITTEN, ids=relative)
def test_queries_run(page: Path, connection: Connection) -> None:
    for block in blocks(page, "sql"):
        # In psql's own words :'name' is a variable; its value does not matter here.
        connection.exec_driver_sql(re.sub(r":'\w+'", "NULL", block).replace("%", "%%"))


@pytest.mark.parametrize("page", WRITTEN, ids=relative)
def test_tables_columns_and_functions_exist(page: Path, known_names: set[str]) -> None:
    drawings = [word for block in blocks(page, "text") for word in block.split()]
    spans = INLINE.findall(FENCE.sub("", page.read_text())) + drawings
    named = {name for span in spans if not FILE_NAME.search(span) for name in IN_SCHEMA.findall(span)}
    assert named <= known_names, sorted(named - known_names)


@pytest.mark.parametrize("page", WRITTEN, ids=relative)
def test_environment_variables_exist(page: Path, known_variables: set[str]) -> None:
    named = set(VARIABLE.findall(page.read_text()))
    assert named <= known_variables, sorted(named - known_variables)


@pytest.mark.parametrize("page", WRITTEN, ids=relative)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    inline = [span.split()[1:] for span in INLINE.findall(page.read_text()) if span.startswith("make ")]
    for words in (*calls(page, "make"), *inline):
        assert set(words) <= targets, words


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        linked = (page.parent / target).resolve()
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, anchor


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, to_visit = set(), [PAGES[0]]
    while to_visit:
        page = to_visit.pop()
        seen.add(page)
        linked = {Path(os.path.normpath(page.parent / target)) for target, _ in LINK.findall(page.read_text())}
        to_visit += [p for p in linked if p.suffix == ".md" and p.exists() and p not in seen]
    assert not set(PAGES) - seen


def test_the_version_is_the_same_everywhere() -> None:
    assert re.search(rf"^version: {re.escape(__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_dependency_is_justified() -> None:
    decisions = (ROOT / "docs" / "decisions.md").read_text()
    for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        name = re.split(r"[^\w.-]", requirement)[0]
        assert f"`{name}`" in decisions, name
