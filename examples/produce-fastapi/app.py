"""Takes orders over HTTP, and records an event with each, in the transaction that stores it."""

import os
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, PositiveInt
from sqlalchemy import create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker


class Base(DeclarativeBase):
    """The tables."""


class Order(Base):
    """An order."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    total_cents: Mapped[int]


class OutboxEvent(Base):
    """A row of the table that `walpost setup` made. The columns that are not here have defaults there."""

    __tablename__ = "outbox"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    aggregate_type: Mapped[str]
    aggregate_id: Mapped[str]
    event_type: Mapped[str]
    payload: Mapped[Any] = mapped_column(JSONB(none_as_null=True))
    headers: Mapped[Any] = mapped_column(JSONB, default=dict)


def record(session: Session, event_type: str, *, order: Order, payload: Any) -> OutboxEvent:
    """Record an event about an order in the session's transaction. Flush it first, so that it has an id."""
    event = OutboxEvent(
        id=uuid4(), aggregate_type="order", aggregate_id=str(order.id), event_type=event_type, payload=payload
    )
    session.add(event)
    return event


engine = create_engine(os.environ["DATABASE_URL"])
sessions = sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class NewOrder(BaseModel):
    """What a customer sends."""

    customer: str
    total_cents: PositiveInt


@app.post("/orders", status_code=201)
def place_order(new: NewOrder) -> dict[str, Any]:
    """Store an order and its event: both, or neither."""
    with sessions.begin() as session:
        order = Order(customer=new.customer, total_cents=new.total_cents)
        session.add(order)
        session.flush()
        event = record(session, "OrderPlaced", order=order, payload=new.model_dump())
        if new.customer == "Mallory":
            raise HTTPException(403, "not you")  # the order and its event are rolled back
    return {"order": order.id, "event": event.id}


@app.get("/events/{event_id}")
def event_status(event_id: UUID) -> dict[str, str]:
    """Tell whether the stream holds an event: pending, published or dead."""
    with sessions.begin() as session:
        status = session.scalar(text("SELECT walpost_status(:id)"), {"id": str(event_id)})
    if status is None:
        raise HTTPException(404)
    return {"status": status}
