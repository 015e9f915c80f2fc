-- Events that are no dead letters after all: a limit was raised before their records were stored.
DELETE FROM {dead_letter} WHERE slot = $1 AND position = ANY ($2::text[]) AND state = 'dead'
