-- What the delivery status says of slot $1: one row, or none if the relay never led. Counts end at 10000.
SELECT pending,
       extract(epoch FROM now() - oldest_pending)::float8 AS oldest_for,
       extract(epoch FROM now() - delivered_at)::float8 AS known_for,
       dead
  FROM {lag} WHERE slot = $1::text
