"""How hard the property suites try: alike every time as a rule, and longer where somebody has the time.

`INTERLOCK_FUZZ=long` takes twenty times as many examples, others each time; any other number is such a factor itself.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_NAMED = {"": 1, "long": 20}
FACTOR = _NAMED.get(given := os.environ.get("INTERLOCK_FUZZ", ""), 0) or int(given)


def effort(examples: int) -> settings:
    """Return settings for so many examples as a rule."""
    alike = FACTOR == 1
    return settings(
        max_examples=examples * FACTOR,
        deadline=None,
        database=None,
        derandomize=alike,
        phases=[Phase.explicit, Phase.generate] if alike else [Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
