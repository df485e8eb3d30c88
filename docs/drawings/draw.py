"""The drawings of the pages: `python docs/drawings/draw.py` writes them all beside itself.

A drawing has its own background and follows light and dark of whoever shows it.
"""

from dataclasses import dataclass, field
from pathlib import Path

STYLE = """
svg { --paper: #ffffff; --ink: #263238; --soft: #90a4ae; --word: #1565c0; --bit: #c62828; --cell: #2e7d32;
 --fill: #eceff1; font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #1e2129; --ink: #e0e4ea; --soft: #78909c; --word: #64b5f6;
 --bit: #ef9a9a; --cell: #81c784; --fill: #2c313c; } }
.paper { fill: var(--paper); } .box { fill: var(--fill); stroke: var(--soft); }
text { fill: var(--ink); font-size: 14px; } .small { font-size: 12px; } .large { font-size: 17px; font-weight: 600; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
line, path, rect, circle { stroke-width: 1.6; fill: none; stroke: var(--ink); }
rect.paper { stroke: none; fill: var(--paper); } rect.box { fill: var(--fill); stroke: var(--soft); }
.word { stroke: var(--word); } .bit { stroke: var(--bit); } .cell { stroke: var(--cell); }
text.word { fill: var(--word); stroke: none; } text.bit { fill: var(--bit); stroke: none; }
text.cell { fill: var(--cell); stroke: none; } .dot { fill: var(--ink); stroke: none; }
.soft { stroke: var(--soft); } .solid { fill: var(--paper); }
rect.bar { fill: var(--word); stroke: none; } rect.other { fill: var(--soft); stroke: none; }
"""


@dataclass
class Drawing:
    """Elements of an SVG; lengths in pixels, the origin at the top left."""

    name: str
    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str = "") -> None:
        self.parts.append(f'<line class="{kind}" x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"/>')

    def arrow(self, x: float, y: float, to_x: float) -> None:
        """A horizontal arrow."""
        self.line(x, y, to_x, y)
        self.parts.append(f'<path d="M{to_x - 7} {y - 5} L{to_x} {y} L{to_x - 7} {y + 5}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        self.parts.append(f'<text class="{kind}" x="{x}" y="{y}">{words}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str = "box") -> None:
        self.parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="3"/>'
        )

    def dot(self, x: float, y: float) -> None:
        self.parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>')

    def resistor(self, x: float, y: float, name: str, kind: str, upright: bool = False) -> None:
        """A resistor in the middle of a line through (x, y), with its name beside it."""
        if upright:
            self.box(x - 6, y - 14, 12, 28, f"{kind} solid")
            self.text(x + 11, y + 5, name, f"{kind} small")
        else:
            self.box(x - 14, y - 6, 28, 12, f"{kind} solid")
            self.text(x, y - 11, name, f"{kind} small middle")

    def svg(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">'
        )
        paper = f'<rect class="paper" width="{self.width}" height="{self.height}" rx="8"/>'
        parts = [head, f"<title>{self.title}</title>", f"<style>{STYLE}</style>", paper]
        return "\n".join([*parts, *self.parts, "</svg>\n"])


def tile() -> Drawing:
    """Two word lines, two bit lines: every resistor of the circuit."""
    drawing = Drawing(
        "tile", 720, 470, "A tile of 2 word lines and 2 bit lines with all resistances"
    )
    columns = (300, 500)
    rows = (80, 240)
    for number, x in enumerate(columns):
        foot = x + 60
        drawing.line(foot, rows[0] + 60, foot, 410, "bit")
        drawing.resistor(foot, 185, "Rb", "bit", upright=True)
        drawing.resistor(foot, 335, "Rb", "bit", upright=True)
        drawing.resistor(foot, 380, "Rx", "bit", upright=True)
        drawing.text(foot, 430, f"0 V, reads I{number}", "bit middle")
    for number, y in enumerate(rows):
        drawing.text(30, y + 5, f"V{number}", "word")
        drawing.line(55, y, columns[1] + 40, y, "word")
        drawing.text(columns[1] + 70, y + 5, "open end", "small")
        drawing.resistor(110, y, "Rs", "word")
        drawing.resistor(210, y, "Rw", "word")
        drawing.resistor(420, y, "Rw", "word")
        for other, x in enumerate(columns):
            drawing.line(x, y, x, y + 60, "cell")
            drawing.line(x, y + 60, x + 60, y + 60, "cell")
            drawing.resistor(x, y + 32, f"G{number}{other}", "cell", upright=True)
            drawing.dot(x, y)
            drawing.dot(x + 60, y + 60)
            drawing.text(x + 5, y - 8, f"w{number}{other}", "small")
            drawing.text(x + 66, y + 75, f"u{number}{other}", "small")
    drawing.text(30, 350, "word line: driven row", "word small")
    drawing.text(30, 370, "bit line: sensed column", "bit small")
    drawing.text(30, 390, "cell: stored conductance", "cell small")
    drawing.text(30, 455, "A sense amplifier holds the foot of every bit line at 0 V.", "small")
    return drawing


def differential() -> Drawing:
    """A signed weight in two cells, beside each other or on twin tiles."""
    drawing = Drawing(
        "differential", 720, 250, "A signed weight as the difference of two conductances"
    )
    drawing.text(180, 30, "twin tiles (default)", "large middle")
    drawing.text(540, 30, "neighbouring bit lines", "large middle")
    for left, sign in ((50, "+"), (215, "-")):
        drawing.box(left, 55, 100, 100)
        drawing.text(left + 50, 82, f"all G{sign}", "cell middle")
        drawing.line(left - 25, 105, left + 100, 105, "word")
        drawing.line(left + 50, 90, left + 50, 180, "bit")
        drawing.dot(left + 50, 105)
        drawing.text(left + 58, 176, f"I{sign}", "bit small")
    drawing.text(25, 98, "V", "word small")
    drawing.text(190, 98, "V", "word small")
    drawing.box(455, 55, 160, 100)
    drawing.line(430, 105, 615, 105, "word")
    drawing.text(430, 98, "V", "word small")
    for x, sign in ((500, "+"), (570, "-")):
        drawing.line(x, 70, x, 180, "bit")
        drawing.dot(x, 105)
        drawing.text(x + 7, 90, f"G{sign}", "cell small")
        drawing.text(x + 8, 176, f"I{sign}", "bit small")
    drawing.text(360, 220, "weight = (G+ - G-) times a scale; output = I+ - I-", "middle")
    drawing.text(360, 240, "A positive weight leaves G- at the lowest conductance.", "small middle")
    return drawing


def converters() -> Drawing:
    """The way of one input through a tile."""
    drawing = Drawing("converters", 720, 190, "From an input code to an output code")
    stages = (
        ("input", "b-bit code"),
        ("DAC", "code to volt"),
        ("tile", "I = T V"),
        ("ADC", "current to code"),
        ("shift-add", "slices, phases"),
        ("gain", "per output"),
    )
    for number, (name, does) in enumerate(stages):
        x = 12 + 119 * number
        drawing.box(x, 55, 94, 60)
        drawing.text(x + 47, 80, name, "middle")
        drawing.text(x + 47, 101, does, "small middle")
        if number:
            drawing.arrow(x - 24, 85, x - 2)
    drawing.text(12, 30, "digital", "small")
    drawing.text(130, 30, "analog", "small word")
    drawing.line(130, 38, 463, 38, "word")
    drawing.text(487, 30, "digital", "small")
    drawing.text(130, 145, "range of samples,", "small")
    drawing.text(130, 162, "per token or block", "small")
    drawing.text(254, 145, "wires solved exactly;", "small")
    drawing.text(254, 162, "read noise added here", "small")
    drawing.text(403, 145, "range of samples; beyond it", "small")
    drawing.text(403, 162, "codes saturate and are counted", "small")
    return drawing


def blocks() -> Drawing:
    """Joining two blocks, and eliminating a node."""
    drawing = Drawing("blocks", 720, 260, "Blocks are joined, shared nodes eliminated")
    drawing.text(165, 30, "join two blocks", "large middle")
    for x, name in ((40, "A"), (180, "B")):
        drawing.box(x, 60, 110, 110)
        drawing.text(x + 55, 120, name, "large middle")
        for place in range(4):
            drawing.dot(x + 13 + 28 * place, 60)
            drawing.dot(x + 13 + 28 * place, 170)
    for place in range(4):
        y = 75 + 27 * place
        drawing.line(150, y, 180, y, "bit")
        drawing.dot(40, y)
        drawing.dot(290, y)
        drawing.parts.append(f'<circle class="bit solid" cx="165" cy="{y}" r="4"/>')
    drawing.text(165, 200, "red: nodes that both own, eliminated", "small middle bit")
    drawing.text(165, 220, "black: ports that remain", "small middle")
    drawing.text(540, 30, "eliminate a node", "large middle")
    ends = ((430, 70), (430, 170), (370, 120))
    for x, y in ends:
        drawing.line(x, y, 415, 120)
        drawing.dot(x, y)
    drawing.parts.append('<circle class="bit solid" cx="415" cy="120" r="4"/>')
    drawing.arrow(480, 120, 530)
    shifted = [(x + 230, y) for x, y in ends]
    for number, (x, y) in enumerate(shifted):
        other = shifted[(number + 1) % 3]
        drawing.line(x, y, *other)
        drawing.dot(x, y)
    drawing.text(540, 215, "every pair gains  g_a g_b / (sum of all g)", "small middle")
    drawing.text(540, 235, "no subtraction, so nothing cancels", "small middle")
    return drawing


def overview() -> Drawing:
    """The picture of the README; the numbers are those of its first command."""
    drawing = Drawing(
        "overview", 900, 330, "A language model, on tiles, with wires solved, and what comes out"
    )
    heads = (
        (20, "1  a model"),
        (235, "2  on tiles of cells"),
        (460, "3  every wire solved"),
        (690, "4  accuracy, energy"),
    )
    for x, words in heads:
        drawing.text(x, 32, words, "large")
    for number, words in enumerate(("GELU, norms", "feed forward", "attention", "embeddings")):
        drawing.box(20, 55 + 42 * number, 140, 32)
        drawing.text(90, 76 + 42 * number, words, "middle small")
    drawing.text(20, 245, "all-MiniLM-L6-v2:", "small")
    drawing.text(20, 263, "6 layers, 36 matrices,", "small")
    drawing.text(20, 281, "10.6 million weights", "small")
    drawing.arrow(172, 130, 222)
    for row in range(7):
        drawing.line(235, 65 + 24 * row, 400, 65 + 24 * row, "word")
    for column in range(7):
        x = 247 + 24 * column
        drawing.line(x, 55, x, 225, "bit")
        for row in range(7):
            dark = (3 * row + 5 * column + row * column) % 4
            drawing.parts.append(
                f'<circle class="cell" cx="{x}" cy="{65 + 24 * row}" r="{2 + 1.6 * dark}" '
                f'style="fill:var(--cell)"/>'
            )
    drawing.text(235, 245, "1,296 tiles of 128 x 128 cells,", "small")
    drawing.text(235, 263, "programmed with the errors", "small")
    drawing.text(235, 281, "of a measured device", "small")
    drawing.arrow(408, 130, 450)
    drawing.line(460, 90, 650, 90, "word")
    drawing.resistor(500, 90, "wire", "word")
    drawing.resistor(610, 90, "wire", "word")
    for x in (555, 640):
        drawing.line(x, 90, x, 200, "bit")
        drawing.resistor(x, 130, "", "cell", upright=True)
        drawing.resistor(x, 175, "", "bit", upright=True)
        drawing.dot(x, 90)
    drawing.text(573, 134, "cell", "small cell")
    drawing.text(573, 180, "wire", "small bit")
    drawing.text(460, 245, "real sentences as voltages,", "small")
    drawing.text(460, 263, "currents through the circuit,", "small")
    drawing.text(460, 281, "then converters", "small")
    drawing.arrow(660, 130, 684)
    results = (("float32", 73.33), ("wires only", 73.33), ("converters only", 72.33))
    results = (*results, ("chip", 71.67), ("programming only", 70.33))
    for number, (name, accuracy) in enumerate(results):
        y = 60 + 32 * number
        drawing.text(690, y + 4, name, "small")
        drawing.box(690, y + 9, 2 * accuracy, 8, "other" if number == 0 else "bar")
        drawing.text(694 + 2 * accuracy, y + 18, f"{accuracy:.2f}", "small")
    drawing.text(690, 245, "accuracy x 100, 300 sentences,", "small")
    drawing.text(690, 263, "95 % within 5 to each side;", "small")
    drawing.text(690, 281, "5.07 uJ a sentence (products)", "small")
    drawing.text(
        20,
        315,
        "Beside it: the error of every layer, the energy by part, saturations, IR drop of every tile.",
        "small",
    )
    return drawing


DRAWINGS = (tile, differential, converters, blocks, overview)


def main(folder: Path) -> None:
    for draw in DRAWINGS:
        drawing = draw()
        (folder / f"{drawing.name}.svg").write_text(drawing.svg())


if __name__ == "__main__":
    main(Path(__file__).parent)
