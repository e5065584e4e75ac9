"""References: which object a client means, and how long we keep it.

Objects that cannot cross the wire stay here and a reference goes in their
place. A reference names the incarnation of the worker, so one that outlived a
restart is known for what it is, and its id is random, so one that was made up
finds nothing. The same object gets the same reference as long as it is held.

Each holder (a session, or the worker itself for clients without one) counts
how often it was sent a reference; the object goes when no holder is left. When a
session is lost it may stay the holder for a while (``rpc.resumption``).
Engines are pinned: they live until they are shut down, whoever built them. Only
until its client has sent a receipt is a new one the builder's: if that one ends
before, nobody may know the engine. The policy of a class
(``ServedClass.released``) may be told when no holder is left.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field

from python_worker.codec.types import RefParts
from python_worker.dispatch.served_classes import OTHER, ServedClass
from python_worker.exceptions import StaleReference

Holder = Hashable

# Holds an object while it is being pinned.
_NOBODY: Holder = object()


@dataclass
class Entry:
    """One object that clients hold references to.

    Attributes:
        id: Of its reference.
        target: The object.
        served: The policy of its class.
        type: The name of its class.
        pinned: Whether it lives when nobody holds it.
        builder: Who built it and has not confirmed that it has the reference.
        holders: How often each was sent the reference.
    """

    id: str
    target: object
    served: ServedClass
    type: str
    pinned: bool = False
    builder: Holder | None = None
    holders: Counter[Holder] = field(default_factory=Counter)


class References:
    """The objects of one worker, by reference id.

    Attributes:
        incarnation: 32 hex digits, new at each start of the worker.
    """

    def __init__(self) -> None:
        self.incarnation = secrets.token_hex(16)
        self._entries: dict[str, Entry] = {}
        # By identity: equal objects are not the same object.
        self._ids: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def hold(
        self, target: object, holder: Holder, *, served: ServedClass = OTHER, pin: bool = False
    ) -> RefParts:
        """The reference of an object, counted once more for a holder.

        Args:
            target: The object.
            holder: Who holds it.
            served: The policy of its class.
            pin: Keep it until it is unpinned, also when nobody holds it. Until its receipt
                it belongs to the holder.
        """
        ref_id = self._ids.get(id(target))
        if ref_id is None:
            ref_id = secrets.token_hex(8)
            self._ids[id(target)] = ref_id
            self._entries[ref_id] = Entry(
                ref_id, target, served, served.name or type(target).__name__
            )
        entry = self._entries[ref_id]
        if pin and not entry.pinned:
            entry.pinned, entry.builder = True, holder
        entry.holders[holder] += 1
        return RefParts(self.incarnation, ref_id, entry.type)

    def keep(self, target: object, served: ServedClass) -> Entry:
        """Pin an object that nobody holds yet: it belongs to the worker."""
        ref = self.hold(target, _NOBODY, served=served, pin=True)
        entry = self._entries[ref.id]
        entry.builder = None
        self.release(ref.id, _NOBODY)
        return entry

    def resolve(self, incarnation: str, ref_id: str) -> object:
        """The object a reference stands for.

        Raises:
            StaleReference: See ``find``.
        """
        return self.find(incarnation, ref_id).target

    def find(self, incarnation: str, ref_id: str) -> Entry:
        """The entry of a reference.

        Raises:
            StaleReference: It is of another incarnation, was released, or
                never existed.
        """
        if incarnation != self.incarnation:
            raise StaleReference(
                f"the reference {ref_id} belongs to an earlier worker; get a new one",
                ref=ref_id,
                incarnation=incarnation,
            )
        entry = self._entries.get(ref_id)
        if entry is None:
            raise StaleReference(
                f"the reference {ref_id} was released or never existed", ref=ref_id
            )
        return entry

    def get(self, ref_id: str) -> Entry | None:
        """The entry of a reference of this worker; None if there is none."""
        return self._entries.get(ref_id)

    def entry(self, target: object) -> Entry | None:
        """The entry of an object that is held."""
        ref_id = self._ids.get(id(target))
        return None if ref_id is None else self._entries[ref_id]

    def release(self, ref_id: str, holder: Holder) -> bool:
        """Take back one count of a holder; unknown ids are ignored.

        Returns:
            Whether the holder held the reference.
        """
        entry = self._entries.get(ref_id)
        if entry is None or holder not in entry.holders:
            return False
        entry.holders[holder] -= 1
        if entry.holders[holder] == 0:
            del entry.holders[holder]
        self._drop_unheld(entry)
        return True

    def receive(self, ref_id: str, builder: Holder) -> None:
        """Take the receipt of who built an object; any other is ignored."""
        entry = self._entries.get(ref_id)
        if entry is not None and entry.builder == builder:
            entry.builder = None

    def take_unreceived(
        self, builder: Holder, ref_ids: Collection[str] | None = None
    ) -> list[Entry]:
        """Return what somebody built and sent no receipt for, once; it is to be shut down.

        Args:
            builder: Who built it.
            ref_ids: Only these; None for all.
        """
        found = [
            entry
            for entry in self._entries.values()
            if entry.builder == builder and (ref_ids is None or entry.id in ref_ids)
        ]
        for entry in found:
            entry.builder = None
        return found

    def release_all(self, holder: Holder) -> None:
        """Take back everything a holder holds: its session has ended."""
        for entry in list(self._entries.values()):
            if entry.holders.pop(holder, 0):
                self._drop_unheld(entry)

    def move_all(self, holder: Holder, to: Holder) -> list[str]:
        """Let another holder have everything that one holds: its session goes on as another.

        What it built without a receipt stays its own.

        Returns:
            The ids of the references, each as often as it is counted.
        """
        moved: list[str] = []
        for entry in self._entries.values():
            if times := entry.holders.pop(holder, 0):
                entry.holders[to] += times
                moved += [entry.id] * times
        return moved

    def end_begins(self, target: object) -> None:
        """An object is being shut down: its receipt is no longer waited for."""
        entry = self.entry(target)
        if entry is not None:
            entry.builder = None

    def unpin(self, target: object) -> None:
        """Let an engine go once nobody holds it: it has been shut down."""
        entry = self.entry(target)
        if entry is not None:
            entry.pinned = False
            self._drop_unheld(entry)

    def pinned(self) -> Iterator[Entry]:
        """The engines that have not been shut down."""
        return iter([entry for entry in self._entries.values() if entry.pinned])

    def _drop_unheld(self, entry: Entry) -> None:
        if not entry.pinned and not entry.holders:
            del self._entries[entry.id]
            del self._ids[id(entry.target)]
            if entry.served.released is not None:
                entry.served.released(entry.target)
