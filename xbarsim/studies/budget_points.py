"""The points of an error budget: chips that have some of the effects of a case, or all of them in some
places only."""

from collections.abc import Sequence
from dataclasses import dataclass

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Content
from xbarsim.config.arrays import SWITCHES
from xbarsim.config.budget import Budget, absent
from xbarsim.config.study import Study, merge, validate
from xbarsim.studies.points import Point
from xbarsim.studies.shapley import Game, members, plan_game

CASES_PER_POINT = 4  # chips of a trace: they share the model, the task and the digital references


@dataclass(frozen=True)
class Player:
    """An effect, or a remedy, that shares the loss.

    switches : of `effects.without` that take it away;  keys : of the study that do
    """

    name: str
    remedy: bool
    switches: tuple[str, ...] = ()
    keys: tuple[Content, ...] = ()

    @classmethod
    def of_effect(cls, name: str) -> "Player":
        """Of switches and `functions`, joined by "+"."""
        parts = name.split("+")
        return cls(
            name,
            remedy=False,
            switches=tuple(part for part in parts if part in SWITCHES),
            keys=tuple(absent(part) for part in parts if part not in SWITCHES),
        )

    @classmethod
    def of_remedy(cls, name: str) -> "Player":
        return cls(name, remedy=True, keys=(absent(name),))


@dataclass(frozen=True)
class BudgetPlan:
    """What an error budget evaluates.

    study : the case, without what is left out throughout
    places : {name: patterns of steps}
    """

    study: Study
    players: tuple[Player, ...]
    game: Game
    places: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(player.name for player in self.players)

    def case_of(self, coalition: int) -> str:
        """The case of a trace that has the effects of a coalition."""
        if coalition == self.game.everyone:
            return "all"
        return ", ".join(members(coalition, self.names)) or "none"

    def only(self, place: str) -> str:
        """The case that has all effects in a place and none elsewhere."""
        return f"only {place}"

    def all_but(self, place: str) -> str:
        """The case that has all effects elsewhere and none in a place."""
        return f"all but {place}"

    def cases(self) -> list[Content]:
        """Every case, the whole chip and the ideal one first."""
        first = [self.game.everyone, 0]
        rest = [found for found in self.game.coalitions if found not in first]
        cases = [self._coalition(found) for found in (*first, *rest)]
        for place in self.places:
            others = [name for name in self.places if name != place]
            cases.append(self._without_in(self.only(place), others))
            cases.append(self._without_in(self.all_but(place), [place]))
        return cases

    def _coalition(self, coalition: int) -> Content:
        out = [player for number, player in enumerate(self.players) if not coalition >> number & 1]
        content: Content = {"name": self.case_of(coalition)}
        if not out:
            return content
        content |= _taken_away(self.study, out)
        if self.study.layer:
            content["layer"] = [_left_out(entry, out) for entry in self._layers()]
        return content

    def _without_in(self, name: str, places: Sequence[str]) -> Content:
        """All effects, but none in these places."""
        tables = [
            {"match": pattern} | _taken_away(self.study, self.players)
            for place in places
            for pattern in self.places[place]
        ]
        return {"name": name, "layer": [*self._layers(), *tables]}

    def _layers(self) -> list[Content]:
        return [entry.model_dump(exclude_unset=True) for entry in self.study.layer]


def _taken_away(study: Study, players: Sequence[Player]) -> Content:
    """The keys of a study without these players."""
    content: Content = {}
    for player in players:
        for keys in player.keys:
            content = merge(content, keys)
    switches = [switch for player in players for switch in player.switches]
    if switches:
        before = study.effects.without
        content = merge(content, {"effects": {"without": sorted({*before, *switches})}})
    return content


def _left_out(entry: Content, players: Sequence[Player]) -> Content:
    """A `[[layer]]` table that does not bring players back: what it states of them is taken away."""
    changed = dict(entry)
    for player in players:
        for keys in player.keys:
            changed = merge(changed, _common(keys, changed))
    before = changed.get("effects", {}).get("without")
    if before is not None:
        switches = {switch for player in players for switch in player.switches}
        changed = merge(changed, {"effects": {"without": sorted({*before, *switches})}})
    return changed


def _common(keys: Content, stated: Content) -> Content:
    """The part of nested keys that `stated` has."""
    found: Content = {}
    for key, value in keys.items():
        below = stated.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            found[key] = _common(value, below)
        elif key in stated:
            found[key] = value
    return found


# ---------------------------------------------------------------- plan and points


def plan_budget(study: Study) -> BudgetPlan:
    """What the budget of a study evaluates.

    Parameters
    ----------
    study : whose `[budget]` states effects and places, see `budget.resolve`

    Raises
    ------
    ConfigError : an unknown case; too few evaluations for its effects
    """
    budget = study.budget
    if budget is None or budget.effects is None or budget.places is None:
        raise ConfigError("[budget] states no effects and places: `xbarsim budget` finds them")
    players = [Player.of_effect(name) for name in budget.effects]
    players += [Player.of_remedy(name) for name in budget.remedies]
    return BudgetPlan(
        study=remaining(study, budget),
        players=tuple(players),
        game=plan_game(len(players), budget.evaluations, study.seed),
        places=budget.places,
    )


def remaining(study: Study, budget: Budget) -> Study:
    """The case of a budget, without what is left out throughout."""
    cases = dict(study.cases())
    name = budget.case or next(iter(cases))
    if name not in cases:
        raise ConfigError(
            f"budget.case = {name!r} is no case of the study; allowed: {', '.join(cases)}"
        )
    case = cases[name]
    if not budget.without:
        return case
    out = []
    for left in budget.without:
        is_effect = left in SWITCHES or left == "functions"
        out.append(Player.of_effect(left) if is_effect else Player.of_remedy(left))
    content = merge(case.model_dump(exclude={"case"}, exclude_unset=True), _taken_away(case, out))
    if case.layer:
        content["layer"] = [
            _left_out(entry.model_dump(exclude_unset=True), out) for entry in case.layer
        ]
    return validate(content, f"case {name!r} without {', '.join(budget.without)}")


def without_remedy(case: Study, name: str) -> Study:
    """A case without a remedy."""
    out = [Player.of_remedy(name)]
    content = merge(case.model_dump(exclude={"case"}), _taken_away(case, out))
    content["layer"] = [
        _left_out(entry.model_dump(exclude_unset=True), out) for entry in case.layer
    ]
    return validate(content, f"the study without {name}")


def budget_points(study: Study) -> list[Point]:
    """The points of a budget, each of some cases: see `BudgetPlan.cases`."""
    plan = plan_budget(study)
    exclude = {"name", "row", "column", "case", "budget", "sweep", "training"}
    base = plan.study.model_dump(exclude=exclude, exclude_unset=True)
    points = []
    all_cases = plan.cases()
    for number, start in enumerate(range(0, len(all_cases), CASES_PER_POINT), start=1):
        cases = all_cases[start : start + CASES_PER_POINT]
        content = base | {"name": f"point-{number:05}", "case": cases}
        of_point = validate(content, f"point {number} of the budget")
        for _, case in of_point.cases():
            case.check_layers()
        names = [case["name"] for case in cases]
        points.append(Point(number=number, values={"cases": names}, study=of_point))
    return points
