# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carrying out a plan wave by wave, or asking the API server by dry run what it would do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.kinds import DEFINITION
from ..errors import UNKNOWN_KIND, PodwrightError, as_podwright_error
from ..threads import call_in_threads
from .applier import Applier
from .definitions import PAUSE, ChangedDefinitions, try_former
from .fields import owned_fields
from .members import is_member
from .patching import SentPatch, follow, send_merge
from .plan import NOT_PREDICTED
from .replacement import check_preconditions, check_replacement, create_again, immutable_fields, precondition_error
from .takeover import take_over
from .wait import wait_until_deleted, wait_until_ready
from .waves import split_into_waves

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest
    from .plan import Applied, Change
    from .reconciler import ReconcilerOptions
    from .sets import ApplySet


DELETED_WITH_DEFINITION = "the replacement of its definition deletes it"  # the note of an object
DELETE_ATTEMPTS = 8  # to delete a member that other clients change


class Executor:
    """Carries out the changes of a plan."""

    def __init__(self, client: Client, options: ReconcilerOptions, console: Console):
        self._client = client
        self._options = options
        self._console = console
        self._definitions = ChangedDefinitions(client.clock)
        self._applier = Applier(client, options)

    def carry_out(self, changes: Iterable[Change], applyset: ApplySet | None) -> Iterator[Change]:
        """Carry out the changes, concurrently within a wave. In check mode nothing is written.

        Yields: for each change of a wave what became of it: an Applied, or a Change in check mode.
        Raises: PodwrightError after a wave in which a change failed, or with `continue_on_error` after all of them; the note of that change is the error.
        """
        failed: list[PodwrightError] = []
        is_incomplete = False  # whether an object could not be applied
        sent: dict[Key, SentPatch] = {}
        for wave in split_into_waves(changes, applyset):
            if failed and not self._options.check_mode:
                wave = [_spare(change, applyset, is_incomplete) for change in wave]
            wave = [follow(change, sent.get(change.key), self._options.check_mode) for change in wave]
            results = call_in_threads(lambda change: self._attempt(change, applyset), wave, max(1, self._options.concurrency))
            yield from (change for change, _error in results)
            sent |= {patch.key: SentPatch(patch.merge, done) for patch, (done, error) in zip(wave, results) if patch.merge and not error}
            failed += [error for _change, error in results if error]
            is_incomplete = is_incomplete or any(error and change.desired for change, error in results)
            if failed and not self._options.continue_on_error:
                break
            if not self._options.check_mode:
                self._finish_wave([change for change, _error in results])
            self._definitions.add(change for change, _error in results)
        if more := len(failed[1:]):
            end = "" if failed[0].message.endswith((".", ".)")) else "."
            failed[0].message += f"{end} {more} more object{'s' if more > 1 else ''} failed."
        if failed:
            raise failed[0]

    def _attempt(self, change: Change, applyset: ApplySet | None) -> tuple[Change, PodwrightError | None]:
        """The change as far as it was carried out, and the error that stopped it."""
        if change.desired and not change.error and self._definitions.is_replaced(change.kind):
            change = change.creation(DELETED_WITH_DEFINITION)
        is_complete = self._options.check_mode and self._options.continue_on_error  # the plan has what cannot be carried out, too
        reached = start = change if is_complete else change.not_applied()
        while True:
            try:
                for step in self._steps(change, applyset):
                    reached = step
                return reached, None
            except Exception as failure:
                error = as_podwright_error(failure)
            may_retry = reached is start and not change.error and not self._options.check_mode
            is_outdated = may_retry and self._definitions.explain(change.kind, error)
            if not is_outdated or not self._definitions.is_recent(change.kind):
                return replace(reached, note=str(error), error=error), error
            self._client.clock.sleep(PAUSE)

    def _steps(self, change: Change, applyset: ApplySet | None) -> Iterator[Change]:
        """Carry out a change. Yields: what has been done of it, after each step."""
        if change.error:
            raise change.error
        if change.action == "none":
            yield change if self._options.check_mode else change.applied(change.after)
        elif change.action == "delete" and self._definitions.is_replaced(change.kind):
            yield change.not_applied(DELETED_WITH_DEFINITION)
        elif change.action == "delete":
            yield self._delete_member(change, applyset) if applyset and change.before and is_member(change.before, applyset) else self._delete(change)
        elif change.merge:
            after = send_merge(self._client, change, change.merge, self._options.manager, self._options.check_mode)
            yield change.predicted(after) if self._options.check_mode else change.applied(after)
        elif self._options.check_mode:
            yield self._predict(change)
        else:
            yield from self._write(change)

    # -- creating and patching ------------------------------------------------------------------------------

    def _write(self, change: Change) -> Iterator[Applied]:
        if change.action == "create" and change.before:
            # The name is free once the previous object of that name is deleted.
            wait_until_deleted(self._client, {change.key: (change.kind, change.before)}, self._options.wait_timeout, self._console)
        self._applier.prepare(change)
        done: Applied | None = None
        try:
            for after in self._applier.apply(change):
                yield (done := change.applied(after))
        except PodwrightError as error:
            if not self._applier.repair(change, error):
                yield from self._replace(change, error)
                return
            for after in self._applier.apply(change):
                yield (done := change.applied(after))
        if done and done.after and change.action == "patch" and change.before and self._options.takes_over:
            is_first_apply = owned_fields(change.before, self._options.manager) is None
            yield replace(done, after=take_over(self._client, change.kind, done.after, self._options.manager, is_first_apply))

    def _predict(self, change: Change) -> Change:
        """The change as the API server answers to a dry run; the local prediction, with a note, if the server cannot answer."""
        try:
            return change.predicted(self._applier.predict(change))
        except PodwrightError as error:
            if error.is_not_found or (error.reason == UNKNOWN_KIND and not change.before):
                return replace(change, note="predicted locally: its namespace or definition does not exist yet")
            if answer := self._applier.predict_repaired(change, error):
                return change.predicted(answer)
            if self._definitions.explain(change.kind, error):
                if former := try_former(self._client, change, self._options.manager, self._options.takes_over):
                    return replace(change.predicted(former), note="predicted by the former version of its definition")
                note = f"predicted locally, since its definition changes, too. By the former one: {error.message}"
                return replace(change.predicted(change.after or {}), note=note)
            if error.is_namespace_terminating:
                return replace(change, note="predicted locally: its namespace is being deleted")
            if error.missing_prerequisite:
                return replace(change, note=f"predicted locally: its {error.missing_prerequisite} does not exist yet")
            if error.is_dry_run_refused:
                return replace(change, note=NOT_PREDICTED)
            self._check_replacement(change, error)
            return change.replacement(f"immutable: {immutable_fields(error)}")

    # -- replacing and deleting -----------------------------------------------------------------------------

    def _check_replacement(self, change: Change, refusal: PodwrightError) -> Manifest:
        options = self._options
        before = check_replacement(self._client, change, refusal, options.manager, options.on_immutable, options.takes_over)
        check_preconditions(change.key, before, options.delete_uid, options.delete_version)
        return before

    def _replace(self, change: Change, refusal: PodwrightError) -> Iterator[Applied]:
        before = self._check_replacement(change, refusal)
        options, key = self._options, change.key
        propagation, version = options.propagation or "Foreground", options.delete_version
        self._client.delete(change.kind, key.namespace, key.name, before["metadata"]["uid"], propagation, options.grace_period, version=version)
        yield change.deleted_only()
        try:
            wait_until_deleted(self._client, {key: (change.kind, before)}, options.wait_timeout, self._console)
            after = create_again(lambda: self._applier.create(change), self._client.clock, options.wait_timeout)
        except PodwrightError as error:
            error.message = f"{key.title} was deleted to be replaced, and has not been created again. {error.message}"
            error.hint = error.hint or "Run the task again: it creates missing objects."
            raise
        yield change.applied(after, action="replace", note=f"immutable: {immutable_fields(refusal)}")

    def _delete(self, change: Change, version: str | None = None) -> Change:
        """Delete an object by its uid; with a version, only if it has not changed since."""
        options, key = self._options, change.key
        uid = change.before["metadata"]["uid"] if change.before else None
        version = version or options.delete_version
        # A dry run is answered before the definition that serves this version is applied.
        kind = (self._client.kinds.find_former(change.kind) if options.check_mode else None) or change.kind
        existed = self._client.delete(
            kind, key.namespace, key.name, uid, options.propagation or "Background", options.grace_period, dry_run=options.check_mode, version=version
        )
        if not existed and options.delete_version and self._client.get(change.kind, key.namespace, key.name):
            raise precondition_error(key, "resource_version", options.delete_version)
        deleted = change if options.check_mode else change.applied(None)
        return deleted if existed else replace(deleted, action="none", note="it does not exist any more")

    def _delete_member(self, change: Change, applyset: ApplySet) -> Change:
        """Delete a member, unless it has left the set since it was listed."""
        live = change.before
        for _attempt in range(DELETE_ATTEMPTS):
            if live is None or (change.before and live["metadata"]["uid"] != change.before["metadata"]["uid"]):
                return change.not_applied("it does not exist any more")
            if not is_member(live, applyset):
                return change.not_applied("kept: it has left the set")
            done = self._delete(change, live["metadata"]["resourceVersion"])
            if done.is_change:
                return done
            live = self._client.get(change.kind, change.key.namespace, change.key.name)
        raise PodwrightError(
            f"{change.key.title} could not be deleted: it changed before each of {DELETE_ATTEMPTS} attempts.", reason="Conflict", hint="Run the task again."
        )

    def _finish_wave(self, wave: list[Change]) -> None:
        """Wait until the deletions of a wave are complete and new definitions are served, before the next wave starts."""
        options = self._options
        deleted = {change.key: (change.kind, change.before) for change in wave if change.before and _is_deletion(change)}
        if deleted and options.wait:
            wait_until_deleted(self._client, deleted, options.wait_timeout, self._console)
        definitions = {change.key: (change.kind, change.after) for change in wave if change.key.kind == DEFINITION.name and change.after}
        wait_until_ready(self._client, definitions, options.wait_timeout, self._console)


def _spare(change: Change, applyset: ApplySet | None, is_incomplete: bool) -> Change:
    """A change after failures: nothing is pruned that may be replaced by what could not be applied, and the record of a set stays for the next run."""
    is_record = applyset is not None and change.key == applyset.parent_key
    return change.not_applied("kept: other objects failed") if change.action == "delete" and (is_incomplete or is_record) else change


def _is_deletion(change: Change) -> bool:
    """Whether an object was deleted, or was being deleted before."""
    is_deleting = change.before is not None and bool(change.before["metadata"].get("deletionTimestamp"))
    return change.after is None and (change.action == "delete" or is_deleting)
