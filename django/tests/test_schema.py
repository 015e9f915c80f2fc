"""Migrations make what `walpost setup` makes, and take it away again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections

import django_walpost
from django_walpost.operations import CreatePublication
from tests import servers

#: Everything of walpost in a database, told without the numbers that differ from one database to another.
CATALOG = """
SELECT 'table', c.oid::regclass::text, a.attnum::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
       a.attnotnull::text, pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text || a.attidentity::text
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'v') AND (c.relname = 'outbox' OR c.relname LIKE 'walpost%') AND c.relname NOT IN {consume}
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '', '', '', ''
  FROM pg_indexes WHERE (tablename = 'outbox' OR tablename LIKE 'walpost%') AND tablename NOT IN {consume}
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', ''
  FROM pg_constraint
 WHERE contype <> 'n' AND (conrelid::regclass::text = 'outbox' OR conrelid::regclass::text LIKE 'walpost%')
       AND conrelid::regclass::text NOT IN {consume}
UNION ALL
SELECT 'view', viewname, definition, obj_description(format('%I.%I', schemaname, viewname)::regclass), '', '', '', ''
  FROM pg_views WHERE viewname LIKE 'walpost%'
UNION ALL
SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid), '', '', '', '', ''
  FROM pg_proc WHERE proname LIKE 'walpost%'
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid), '', '', '', '', ''
  FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'publication', p.pubname, to_jsonb(p) - 'oid' - 'pubowner' || jsonb_build_object('t', t.tables) #>> '{}',
       '', '', '', '', ''
  FROM pg_publication p, LATERAL (SELECT array_agg(tablename ORDER BY 1) FROM pg_publication_tables
                                   WHERE pubname = p.pubname) t(tables)
 WHERE p.pubname = 'walpost'
ORDER BY 1, 2, 3, 4
""".replace("{consume}", "('walpost_inbox', 'walpost_dead_message')")


def catalog(cursor: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cursor.execute(CATALOG).fetchall()]


def test_migrations_make_what_the_relays_setup_makes(
    transactional_db: None, postgres: servers.Postgres, nats_server: servers.Nats
) -> None:
    with postgres.connect() as server:
        server.execute("DROP DATABASE IF EXISTS by_setup")
        server.execute("CREATE DATABASE by_setup")
    environment = {"WALPOST_POSTGRES_URL": postgres.url("by_setup"), "WALPOST_NATS_URL": nats_server.url}
    for arguments in (["setup"], ["webhooks", "setup", "--set", "webhooks.source=table"]):
        command = [str(servers.relay_program()), *arguments]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with postgres.connect("by_setup") as by_setup:
        expected = catalog(by_setup)
        by_setup.execute("SELECT pg_drop_replication_slot('walpost')")
    connection.ensure_connection()
    found = catalog(connection.connection.cursor())
    assert {row[0] for row in found} >= {"table", "index", "constraint", "publication", "view", "function"}
    assert ("table", "walpost_webhook_endpoint", "3", "secrets", "text[]", "false", "'{}'::text[]", "") in found
    assert found == expected


def test_migrations_make_no_slot(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_migrations_go_back_and_forth() -> None:
    other = connections["other"]
    other.ensure_connection()
    before = catalog(other.connection.cursor())
    try:
        call_command("migrate", "django_walpost", "zero", database="other", verbosity=0)
        assert catalog(other.connection.cursor()) == []
    finally:
        call_command("migrate", database="other", verbosity=0)
    assert catalog(other.connection.cursor()) == before


@pytest.mark.django_db(databases=["default", "lite"])
def test_on_another_database_migrations_do_nothing() -> None:
    assert "outbox" not in connections["lite"].introspection.table_names()


@pytest.mark.django_db(databases=["default", "other", "lite"])
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_operations_say_what_they_do(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("sqlmigrate", "django_walpost", "0001")
    said = capsys.readouterr().out
    assert "CREATE TABLE public.outbox" in said
    assert 'CREATE PUBLICATION "walpost" FOR TABLE public.outbox' in said
    assert "Create watermark table walpost_watermark" in said
    call_command("sqlmigrate", "django_walpost", "0001", backwards=True)
    assert "DROP TABLE public.outbox" in capsys.readouterr().out
    call_command("sqlmigrate", "django_walpost", "0002")
    assert "CREATE TABLE public.walpost_webhook_endpoint" in capsys.readouterr().out
    call_command("sqlmigrate", "django_walpost", "0002", backwards=True)
    assert "DROP TABLE public.walpost_webhook_endpoint" in capsys.readouterr().out


def test_names_stay_names_and_no_name_is_no_publication(db: None) -> None:
    operation = CreatePublication('{table}"; --', "{publication}")
    assert 'CREATE PUBLICATION "{table}""; --" FOR TABLE public."{publication}"' in operation.creation(connection)
    nothing = CreatePublication(None, "outbox")
    assert (nothing.creation(connection), nothing.removal(connection)) == ("SELECT", "SELECT")


def test_the_packages_sql_is_the_repositorys() -> None:
    packaged = Path(django_walpost.__file__).parent / "sql"
    assert packaged.resolve() == servers.ROOT / "sql"
