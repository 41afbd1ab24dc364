"""The SQL of vascodb: functions, stages, views and audits, each a file that psql can run."""
