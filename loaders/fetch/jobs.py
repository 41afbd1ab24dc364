"""Jobs that a service works on, remembered in the database: whoever comes back asks for their results."""

from sqlalchemy import text

from vascodb.db import Database

__all__ = ["DatabaseJobs"]


class DatabaseJobs:
    """The jobs at one service, each in a transaction of its own, so that a killed process leaves them behind.

    Parameters
    ----------
    database : `Database`
        Where they are remembered.
    service : str
        The service.
    """

    def __init__(self, database: Database, service: str) -> None:
        self._database, self._service = database, service

    def recall(self, key: int) -> str | None:
        """Address of a question's job, if there is one."""
        with self._database.connect() as connection:
            url: str | None = connection.scalar(
                text("SELECT job_url FROM ref.async_job WHERE job_key = :key AND service = :service"),
                {"key": key, "service": self._service},
            )
            return url

    def remember(self, key: int, endpoint: str, job_url: str) -> None:
        """Keep the address of a question's job."""
        with self._database.connect() as connection:
            connection.execute(
                text("""
                    INSERT INTO ref.async_job (job_key, service, endpoint, job_url)
                    VALUES (:key, :service, :endpoint, :job_url)
                    ON CONFLICT (job_key) DO UPDATE
                    SET endpoint = excluded.endpoint, job_url = excluded.job_url, submitted_at = now()
                """),
                {"key": key, "service": self._service, "endpoint": endpoint, "job_url": job_url},
            )

    def forget(self, key: int) -> None:
        """The job is over: answered, failed, or gone."""
        with self._database.connect() as connection:
            connection.execute(text("DELETE FROM ref.async_job WHERE job_key = :key"), {"key": key})
