"""What a replica does about the words of the others: what it does about its own changes."""

from tweezer.database.bell import Hearing
from tweezer.job.signals import Signals
from tweezer.job.store import words


def hearing(signals: Signals) -> Hearing:
    """Connects the words of other replicas with the signals of this process."""

    def missed() -> None:
        signals.jobs_ready.send()
        signals.intents_applied.send()
        signals.stops.release()
        signals.ends.release()

    def take_over() -> None:
        signals.progress.set()
        signals.lease_end.look()
        signals.addition_check.look()

    return Hearing(
        ears={
            words.JOBS_READY: lambda _: signals.jobs_ready.send(),
            words.RELEASED: lambda _: signals.intents_applied.send(),
            words.STOPS: signals.stops.send,
            words.STOPPED: signals.ends.send,
        },
        missed=missed,
        take_over=take_over,
    )
