-- As slot.sql, for servers from version 17 on: a standby that synchronises slots takes this one over, so that it is
-- there after a failover. Without such a standby the option means nothing.
SELECT pg_create_logical_replication_slot({slot}, 'pgoutput', failover => true);
