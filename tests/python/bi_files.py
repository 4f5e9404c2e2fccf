"""What stands in the files for Power BI and Tableau, read strictly, and which types Gold's columns must have there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

BI = Path(__file__).resolve().parents[2] / "bi"
DEFINITION = BI / "power_bi" / "FinancialInsights.SemanticModel" / "definition"

# What may stand in each object, of what Microsoft's reference of the Tabular Object Model has: its properties, and the
# objects in it. A property with no value is true.
TMDL = {
    "database": ({"compatibilityLevel"}, set()),
    "model": (
        {"culture", "defaultPowerBIDataSourceVersion", "sourceQueryCulture"},
        {"dataAccessOptions"},
    ),
    "dataAccessOptions": ({"legacyRedirects", "returnErrorValuesAsNull"}, set()),
    "table": ({"lineageTag"}, {"measure", "column", "partition", "annotation"}),
    "measure": ({"formatString", "lineageTag"}, set()),
    "column": (
        {"dataType", "isHidden", "formatString", "lineageTag", "summarizeBy", "sourceColumn"},
        {"annotation"},
    ),
    "partition": ({"mode", "source"}, set()),
    "annotation": (set(), set()),
    "expression": ({"lineageTag"}, {"annotation"}),
    "relationship": ({"isActive", "fromColumn", "toColumn"}, set()),
    "ref": (set(), set()),
}
AT_THE_TOP = {"database", "model", "table", "annotation", "expression", "relationship", "ref"}
WITH_A_FORMULA = {"measure", "partition", "annotation", "expression"}


@dataclass
class Object:
    """An object of TMDL; `formula` is what stands after its equals sign."""

    kind: str
    name: str
    description: str
    formula: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    children: list[Object] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Object]:
        return [child for child in self.children if child.kind == kind]


def read_tmdl(text: str) -> list[Object]:
    """The objects of a file of TMDL, with those in them; anything but what `TMDL` lists is an error."""
    lines = [(len(line) - len(line.lstrip("\t")), line.strip()) for line in text.split("\n")]
    top = Object("", "", "")
    open_objects: list[tuple[int, Object]] = [(-1, top)]
    description, at = "", 0
    while at < len(lines):
        depth, line = lines[at]
        at += 1
        if not line:
            assert not description, "a description stands right above its object"
            continue
        while open_objects[-1][0] >= depth:
            open_objects.pop()
        above, parent = open_objects[-1]
        assert depth == above + 1, f"{line!r} is indented by {depth}"
        if line.startswith("/// "):
            assert not description, "a description is one line"
            description = line.removeprefix("/// ")
            continue
        found = read_property(line, parent) if parent is not top else None
        if found:
            name, value = found
            assert not description
            assert name not in parent.properties, f"{parent.name} says {name} twice"
            if not value:
                value, at = read_block(lines, at, depth)
            parent.properties[name] = value
            continue
        made = read_declaration(line, description)
        allowed = AT_THE_TOP if parent is top else TMDL[parent.kind][1]
        assert made.kind in allowed, f"{made.kind} in {parent.kind or 'a file'}"
        if line.endswith("="):
            made.formula, at = read_block(lines, at, depth)
        parent.children.append(made)
        open_objects.append((depth, made))
        description = ""
    return top.children


def read_property(line: str, parent: Object) -> tuple[str, str] | None:
    """A property of an object, its value empty where the next lines have it; None if the line begins another object."""
    if (match := re.fullmatch(r"(\w+): (\S.*)", line)) and match[1] in TMDL[parent.kind][0]:
        return match[1], match[2]
    if line in TMDL[parent.kind][0]:
        return line, "true"
    if (match := re.fullmatch(r"(\w+) =", line)) and match[1] in TMDL[parent.kind][0]:
        return match[1], ""
    return None


def read_declaration(line: str, description: str) -> Object:
    match = re.fullmatch(r"(\w+)(?: ((?:table )?(?:\w[\w-]*|'(?:[^']|'')+')))?(?: =(?: (\S.*))?)?", line)
    assert match and match[1] in TMDL, f"This is neither an object nor a property of the one before: {line!r}"
    assert (" =" in line) <= (match[1] in WITH_A_FORMULA), line
    name = (match[2] or "").strip("'").replace("''", "'")
    return Object(match[1], name, description, match[3] or "")


def read_block(lines: list[tuple[int, str]], at: int, depth: int) -> tuple[str, int]:
    """The lines of a formula, which are indented by two more than what they belong to, and where it goes on."""
    block = []
    while at < len(lines) and lines[at][1] and lines[at][0] >= depth + 2:
        block.append(lines[at][1])
        at += 1
    assert block, "a formula has at least one line"
    return "\n".join(block), at


@dataclass(frozen=True)
class Field:
    """A column as one of the programs is told of it."""

    data_type: str
    description: str
    is_hidden: bool


def tables(definition: Path = DEFINITION) -> dict[str, Object]:
    """Power BI's tables by name."""
    found = {}
    for file in sorted((definition / "tables").iterdir()):
        (table,) = read_tmdl(file.read_text())
        assert (table.kind, f"{table.name}.tmdl") == ("table", file.name)
        found[table.name] = table
    return found


def in_power_bi(definition: Path = DEFINITION) -> dict[str, dict[str, Field]]:
    """Power BI's columns by their names in Gold, by mart."""
    return {
        name: {
            column.properties["sourceColumn"]: Field(
                column.properties["dataType"], column.description, "isHidden" in column.properties
            )
            for column in table.of_kind("column")
        }
        for name, table in tables(definition).items()
    }


def in_tableau(folder: Path = BI / "tableau") -> dict[str, dict[str, Field]]:
    """Tableau's columns by their names in Gold, by mart."""
    return {file.stem: dict(fields(ElementTree.parse(file).getroot())) for file in sorted(folder.glob("*.tds"))}


def fields(source: ElementTree.Element) -> Iterator[tuple[str, Field]]:
    for column in source.findall("column"):
        name = column.attrib["name"]
        assert name[0] == "[" and name[-1] == "]"
        description = "".join(run.text or "" for run in column.findall("desc/formatted-text/run"))
        yield name[1:-1], Field(column.attrib["datatype"], description, column.get("hidden") == "true")


def types(data_type: str) -> tuple[str, str]:
    """What a column of this type is in Power BI and in Tableau."""
    if re.fullmatch(r"decimal\(\d+,\s*[0-4]\)", data_type):
        return "decimal", "real"
    return {
        "int": ("int64", "integer"),
        "bigint": ("int64", "integer"),
        "smallint": ("int64", "integer"),
        "double": ("double", "real"),
        "string": ("string", "string"),
        "boolean": ("boolean", "boolean"),
        "date": ("dateTime", "date"),
        "timestamp": ("dateTime", "datetime"),
    }[data_type]
