"""`set_field`: one field, of a step or of the definition."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streamflow.authoring.language import FieldForm, fields_of, put
from streamflow.authoring.operations.operation import Operation, Refused, meant, step_of
from streamflow.authoring.rewriting import name_of
from streamflow.definition.model import Definition, Id, Part, Step

_OWNED = {"id": "rename", "on": "set_trigger", "steps": "add_step, insert_between or remove_step"}


class SetField(Operation):
    """Set one field to a value, or remove it with null. `field` is its path with points between, items of a list by
    their id or name: `wait.within`, `wait.events.captured.where`, `call.with.amount.expr`, `call.retry.attempts`.
    Groups on the way that are missing are made. Without `step` it is a field of the definition: `title`, `runs`."""

    op: Literal["set_field"]
    step: Id | None = None
    field: str = Field(min_length=1, max_length=500)
    value: Any  # anything that the language allows there; null removes the field

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused for a field that the language does not have, or that another operation is for."""
        path = self.field.split(".")
        part: type[Part] = Definition if self.step is None else Step
        if len(path) == 1 and path[0] in _OWNED and (self.step is None or path[0] == "id"):
            raise Refused(
                "edit_target_unknown", f"set_field does not change `{path[0]}`.", f"Use {_OWNED[path[0]]} for it."
            )
        if self.step is None and path[0] in ("on", "steps"):
            raise Refused("edit_target_unknown", f"set_field does not reach into `{path[0]}`.", "Name the `step`.")
        self._set(content if self.step is None else step_of(content, self.step), part, path)

    def _set(self, holder: dict[str, Any], part: type[Part], path: list[str]) -> None:
        name, *rest = path
        form = fields_of(part).get(name)
        if form is None:
            raise self._unknown(name, list(fields_of(part)))
        if not rest:
            self._write(holder, part, name)
        elif form.is_open:
            self._open(_group(holder, part, name), rest)
        elif form.part is None:
            raise Refused("edit_target_unknown", f"`{name}` has no fields of its own.", "Set it as a whole.")
        elif form.is_list:
            self._item(holder, part, form, rest)
        elif self.value is None and not isinstance(holder.get(name), dict):
            raise self._absent(name)
        else:
            self._set(_group(holder, part, name), form.part, rest)

    def _item(self, holder: dict[str, Any], part: type[Part], form: FieldForm, path: list[str]) -> None:
        """Sets an item of a list, or what is in it."""
        assert form.part is not None
        id_, *rest = path
        items: list[Any] = holder.get(form.name) or []
        item = next((one for one in items if name_of(one) == id_), None)
        named = "id" if "id" in fields_of(form.part) else "name"
        if item is None and self.value is None:
            raise Refused(
                "edit_target_unknown",
                f"there is no `{id_}` in `{form.name}`.",
                meant(id_, [str(name_of(one)) for one in items], "There are"),
            )
        if not rest and self.value is None:
            left = [one for one in items if one is not item]
            if left:
                holder[form.name] = left
            else:
                del holder[form.name]
            return
        if item is None:
            item = {named: id_}
            put(holder, part, form.name, [*items, item])
        if rest:
            if rest == [named]:
                raise Refused("edit_target_unknown", f"set_field does not change `{named}`.", "Use rename for it.")
            self._set(item, form.part, rest)
        elif not isinstance(self.value, dict) or self.value.get(named, id_) != id_:
            raise Refused(
                "edit_ambiguous",
                f"expected the fields of `{id_}` but found something else.",
                f"Give a group of fields, with `{named}: {id_}` or without it.",
            )
        else:
            item.clear()
            item.update({named: id_, **self.value})

    def _open(self, holder: dict[str, Any], path: list[str]) -> None:
        """Sets a key within a JSON Schema."""
        name, *rest = path
        if not rest:
            self._write(holder, None, name)
        elif isinstance(holder.get(name, {}), dict):
            self._open(_group(holder, None, name), rest)
        else:
            raise Refused("edit_target_unknown", f"`{name}` has no fields of its own.", "Set it as a whole.")

    def _write(self, holder: dict[str, Any], part: type[Part] | None, name: str) -> None:
        if self.value is not None:
            put(holder, part, name, self.value)
        elif name in holder:
            del holder[name]
        else:
            raise self._absent(name)

    def _unknown(self, name: str, names: list[str]) -> Refused:
        return Refused("edit_target_unknown", f"there is no field `{name}` here.", meant(name, names, "The fields are"))

    def _absent(self, name: str) -> Refused:
        return Refused("edit_target_unknown", f"there is no `{name}` to remove.", "Leave this operation out.")


def _group(holder: dict[str, Any], part: type[Part] | None, name: str) -> dict[str, Any]:
    if not isinstance(holder.get(name), dict):
        put(holder, part, name, {})
    found: dict[str, Any] = holder[name]
    return found
