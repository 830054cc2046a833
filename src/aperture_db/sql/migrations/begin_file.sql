-- Purpose: open a file's transaction and try for the lock that all runners of this tool share.
-- The lock belongs to the transaction, so a pooler can't leave it behind, and the server ends the
-- transaction within a second of the client's death. READ COMMITTED, whatever the database's
-- default: what others recorded while this waited for them has to be seen. Privilege: none.
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT
    pg_try_advisory_xact_lock(%(lock_key)s),
    pg_backend_pid(),
    set_config('lock_timeout', %(lock_timeout)s, true),
    set_config('statement_timeout', %(statement_timeout)s, true),
    set_config(
        'idle_in_transaction_session_timeout', %(idle_in_transaction_session_timeout)s, true
    ),
    set_config('client_connection_check_interval', %(client_connection_check_interval)s, true)
