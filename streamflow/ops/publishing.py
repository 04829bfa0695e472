"""Publishing a definition that was found without errors: what goes into the log with it."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.approvals.approval import Approval
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, child_names, event_names
from streamflow.definition.model import Definition
from streamflow.kafka.admin import Admin
from streamflow.kafka.publication import Published, publish
from streamflow.kafka.topics import Topic
from streamflow.settings import Settings


def publish_checked(
    settings: Settings,
    definition: Definition,
    catalog: Catalog,
    *,
    scenarios: str | None = None,
    approval: Approval | None = None,
    by: str = "",
) -> Published:
    """Publishes `definition` with those events of `catalog` that it names, and binds these to their topics here, and
    with the text of its scenarios. `approval` is one of this content, `by` who publishes. Raises what
    `kafka.publication.publish` raises."""
    entries = {}
    for name in event_names(definition):
        spec = catalog.event(name)
        assert spec is not None  # the check has found it
        entries[name] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return publish(
        settings,
        name=definition.name,
        version=definition.version,
        content=canonical(definition, catalog),
        events=entries,
        children=[child for key in child_names(definition) if (child := catalog.definition(*key)) is not None],
        scenarios=scenarios,
        approval=approval,
        by=by,
    )


def topics_of(definition: Definition, catalog: Catalog) -> set[str]:
    """The topics that the events of `definition` are in."""
    specs = (catalog.event(name) for name in event_names(definition))
    return {topic for spec in specs if spec is not None for topic in spec.topics}


def missing_topics(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those topics that do not exist, sorted. Raises OperationError."""
    wanted = sorted(set(names))
    return sorted(set(wanted) - Admin(settings).topic_ids(wanted).keys()) if wanted else []


def create_topics(settings: Settings, names: Iterable[str]) -> None:
    """Creates topics of users with as many partitions as `commands` has, to try things out. Raises OperationError."""
    partitions, replicas = settings.topics.partitions, settings.topics.replication_factor
    Admin(settings).create([Topic("", name, partitions, replicas, ()) for name in names])


def words_of(done: Published, catalog: Catalog, missing: Iterable[str]) -> list[str]:
    """What people should know of a publication that is done: a sentence for each."""
    sentences = []
    for event in done.rebound:
        binding = catalog.event(event)
        where = ", ".join(binding.topics) if binding is not None else ""
        sentences.append(f"{event} is bound to {where} from now on, for every definition; it was bound to other topics")
    sentences += [
        f"{event} is written as {how} from now on, wherever it is emitted" for event, how in done.rewritten.items()
    ]
    for topic, why in done.ends_unknown.items():
        sentences.append(
            f"The end of the topic {topic} could not be read ({why}), so events that are sent to it before ingress "
            "opens it may not be read. Wait until `streamflow lag` lists it before you send to it."
        )
    sentences += [
        f"the topic {topic} does not exist: its events start nothing until it does, and emitted ones become dead "
        "letters"
        for topic in missing
    ]
    return sentences
