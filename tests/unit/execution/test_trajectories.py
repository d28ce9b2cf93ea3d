"""Progress read from what Pulser prints."""

import sys

from tweezer.execution.emulators.trajectories import reporting_trajectories


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def test_trajectories_are_spread_over_the_range() -> None:
    reported: list[int] = []
    with reporting_trajectories(reported.append, 5, 95):
        say("Emulating Trajectory 1/40")
        say("Emulating Trajectories [2 - 20]/40")
        say("Emulating Trajectory 21/40")
    assert reported == [5, 7, 50]


def test_a_line_may_come_in_pieces() -> None:
    reported: list[int] = []
    with reporting_trajectories(reported.append, 0, 100):
        for piece in ("Emulating Traj", "ectory 2", "/4", "\nEmu"):
            sys.stdout.write(piece)
    assert reported == [25]


def test_other_output_is_dropped() -> None:
    reported: list[int] = []
    with reporting_trajectories(reported.append, 0, 100):
        say("Total run time: 1.00s")
    assert reported == []
