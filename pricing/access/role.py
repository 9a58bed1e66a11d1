"""What a caller may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a caller may do. An admin is an operator; an operator is a producer and a client."""

    CLIENT = "client"
    PRODUCER = "producer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may do."""
        return other in _INCLUDED[self]


# A producer is no client: who only sends events gets no more than that (least privilege).
_INCLUDED = {
    Role.CLIENT: frozenset({Role.CLIENT}),
    Role.PRODUCER: frozenset({Role.PRODUCER}),
    Role.OPERATOR: frozenset({Role.CLIENT, Role.PRODUCER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}
