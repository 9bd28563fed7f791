"""Plain trees laid over one another: what a recipe says wins over what it extends, an override over both.

Mappings are merged key by key, lists are replaced as a whole. Replaced as a whole are also a part whose `type` differs,
with all its settings, and a schedule that is said in its other form.
"""

from collections.abc import Mapping
from typing import Any

from core.errors import require
from core.schedule import is_other_form


def merge(base: Any, over: Any, path: str = "") -> Any:
    """Lay one tree over another; a mapping whose keys are all numbers goes over those elements of a list.

    Args:
        path: where the trees stand in the recipe, for the errors.

    Raises:
        UserError: the list has no such element.
    """
    if isinstance(base, list) and isinstance(over, Mapping) and over and all(str(key).isdigit() for key in over):
        return _with_elements(base, over, path)
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    if ("type" in over and over["type"] != base.get("type")) or is_other_form(base, over):
        return dict(over)
    merged = {key: merge(base.get(key), item, f"{path}.{key}" if path else str(key)) for key, item in over.items()}
    return {**base, **merged}


def _with_elements(base: list[Any], over: Mapping[Any, Any], path: str) -> list[Any]:
    items = list(base)
    for key, item in over.items():
        here = f"{path}.{key}" if path else str(key)
        valid = f"its elements are 0 to {len(base) - 1}" if base else "the list is empty"
        require(int(key) < len(base), f"{here}: no such element of {path or 'the list'}; {valid}")
        items[int(key)] = merge(items[int(key)], item, here)
    return items
