"""What was said since the last flush becomes memory.

A job of kind ``learn`` stands for one session, or for one owner's calls without a session. For now there is nothing to
do: no engine of this repository learns from conversations yet. The jobs are written and run all the same, so that what
is promised at the end of a turn, that it will be remembered, already survives a kill.

What is learnt is read from the stored messages when the job runs, never from what the turn told: how much was heard of a
spoken answer may become known after its end, and then `TurnStore.amend` changes the messages.
"""

from cozy_domain.jobs import Job

LEARN = "learn"
"""The kind of the jobs that a turn leaves behind."""


async def flush(_: Job) -> None:
    """Finds nothing to do, whatever the job."""
