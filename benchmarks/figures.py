"""What was measured, as data: JSON on the way out, and what the tables and plots are made of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Samples:
    """Blocks of calls of one operation by one contender, all microseconds."""

    waited: list[float] = field(default_factory=list)
    """By each call."""
    medians: list[float] = field(default_factory=list)
    """Of the calls of each block."""
    client: list[float] = field(default_factory=list)
    """Processor of the client, by a call, for each block."""
    server: list[float] = field(default_factory=list)
    """Processor of the server, by a call, for each block."""

    def add(self, ran: dict[str, Any], server: float) -> None:
        """Add a block."""
        self.waited += ran["waited"]
        self.medians.append(statistics.median(ran["waited"]))
        self.client.append(sum(ran["burnt"]) / len(ran["burnt"]))
        self.server.append(server / len(ran["waited"]))


@dataclass(frozen=True, slots=True)
class Figure:
    """One operation by one contender."""

    best_us: float
    """The lowest median of a block: what others on the machine disturb least."""
    p50_us: float
    p99_us: float
    """Of all calls."""
    ops_per_s: float
    """By one caller, in the best block."""
    client_cpu_us: float
    server_cpu_us: float
    samples: int
    round_trips: int | None = None
    commands: int | None = None
    """That the server executed, those inside scripts too."""
    commands_by_name: dict[str, int] | None = None

    @classmethod
    def of(cls, samples: Samples, **counted: Any) -> Figure:
        """Medians of what was sampled."""
        waited = sorted(samples.waited)
        best = min(samples.medians)
        return cls(
            best_us=round(best, 2),
            p50_us=round(statistics.median(waited), 2),
            p99_us=round(waited[min(len(waited) - 1, int(len(waited) * 0.99))], 2),
            ops_per_s=round(1e6 / best, 1),
            client_cpu_us=round(statistics.median(samples.client), 2),
            server_cpu_us=round(statistics.median(samples.server), 2),
            samples=len(waited),
            **counted,
        )

    @property
    def cpu_us(self) -> float:
        """Of client and server."""
        return self.client_cpu_us + self.server_cpu_us


Figures = dict[str, dict[str, Figure]]
"""By operation, by contender."""


@dataclass(slots=True)
class Results:
    """A whole run."""

    about: dict[str, Any]
    operations: Figures = field(default_factory=dict)
    goals: dict[str, float] = field(default_factory=dict)
    bytes_per_record: dict[str, float] = field(default_factory=dict)
    import_ms: dict[str, float] = field(default_factory=dict)
    scaling: dict[str, dict[str, dict[int, tuple[float, float]]]] = field(default_factory=dict)
    """Microseconds by operation, contender, number of rows: in the best block, and of processor."""
    skipped: list[str] = field(default_factory=list)

    def to_dict(self, baseline: str) -> dict[str, Any]:
        """JSON, with ratios to the baseline: of time, and of processor time of client and server together."""
        given = asdict(self)
        for by_contender in given["scaling"].values():
            for who, points in by_contender.items():
                by_contender[who] = {str(rows): list(both) for rows, both in points.items()}
        for name, figures in self.operations.items():
            if base := figures.get(baseline):
                for contender, figure in figures.items():
                    given["operations"][name][contender] |= {
                        "ratio": round(figure.best_us / base.best_us, 3),
                        "p50_ratio": round(figure.p50_us / base.p50_us, 3),
                        "cpu_ratio": round(figure.cpu_us / base.cpu_us, 3),
                    }
        return given

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Results:
        """What `to_dict` gave."""
        operations = {
            name: {
                contender: Figure(**{k: v for k, v in figure.items() if not k.endswith("ratio")})
                for contender, figure in figures.items()
            }
            for name, figures in given["operations"].items()
        }
        scaling = {
            name: {
                who: {int(rows): (us, cpu) for rows, (us, cpu) in by.items()}
                for who, by in contenders.items()
            }
            for name, contenders in given["scaling"].items()
        }
        return cls(**given | {"operations": operations, "scaling": scaling})


def contenders_in(results: Results) -> Sequence[str]:
    """All that have a figure, in the order of the first appearance."""
    return list(dict.fromkeys(name for figures in results.operations.values() for name in figures))
