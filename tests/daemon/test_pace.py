"""Looks take their share of the time, and walks through all of the inbox a smaller one."""

from daemon.supervisor.pace import Pace


def looked(pace: Pace, seconds: float, **facts: bool) -> None:
    """A look that began at 100 and took so long."""
    given = {"at_all": True, "hears": True, "fixed": False, **facts}
    pace.looked(100.0, 100.0 + seconds, interval_s=10.0, **given)


def test_a_walk_that_costs_little_comes_at_every_interval() -> None:
    pace = Pace()
    looked(pace, 0.01)
    assert pace.walk_at == 110.01


def test_walks_take_a_hundredth_of_the_time_where_all_changes_ring() -> None:
    pace = Pace()
    looked(pace, 0.5)
    assert pace.walk_at == 150.0


def test_a_walk_is_put_off_for_a_minute_and_a_half_at_most_unless_it_takes_its_tenth() -> None:
    pace = Pace()
    looked(pace, 5.0)
    assert pace.walk_at == 195.0
    looked(pace, 20.0)
    assert pace.walk_at == 300.0


def test_an_interval_that_was_set_is_kept_as_far_as_a_tenth_of_the_time_allows() -> None:
    pace = Pace()
    looked(pace, 1.0, fixed=True)
    assert pace.walk_at == 111.0
    looked(pace, 2.0, fixed=True)
    assert pace.walk_at == 120.0


def test_walks_take_a_tenth_of_the_time_where_nothing_rings() -> None:
    pace = Pace()
    looked(pace, 3.0, hears=False)
    assert pace.walk_at == pace.soonest == 130.0


def test_a_hint_need_not_wait_for_what_a_walk_has_cost() -> None:
    pace = Pace()
    looked(pace, 5.0)
    assert pace.soonest < 105.1


def test_looks_at_what_rang_take_a_tenth_of_the_time() -> None:
    pace = Pace()
    looked(pace, 0.01)
    looked(pace, 2.0, at_all=False)
    assert (pace.soonest, pace.walk_at) == (120.0, 110.01)


def test_a_round_takes_a_tenth_of_the_time_and_delays_no_hint() -> None:
    pace = Pace()
    looked(pace, 1.0)
    pace.went_round(100.0, 101.0, at_all=True, interval_s=2.0)
    assert pace.round_at == 103.0
    looked(pace, 5.0, at_all=False)
    pace.went_round(100.0, 105.0, at_all=False, interval_s=2.0)
    assert pace.round_at == 150.0
    assert pace.soonest < 105.1
    looked(pace, 0.1)
    pace.went_round(200.0, 200.1, at_all=True, interval_s=2.0)
    assert pace.round_at == 245.1  # a walk makes what a round has cost no less


def test_where_everything_rings_no_round_is_due() -> None:
    pace = Pace()
    looked(pace, 1.0)
    pace.went_round(100.0, 101.0, at_all=True, interval_s=float("inf"))
    assert pace.round_at == float("inf")


def test_where_hints_were_lost_the_walk_comes_as_soon_as_is_fair() -> None:
    pace = Pace()
    looked(pace, 1.0)
    pace.hurry_walk()
    assert pace.walk_at == 110.0


def test_where_changes_ring_no_longer_the_walk_comes_as_soon_as_is_fair() -> None:
    pace = Pace()
    looked(pace, 1.0)
    looked(pace, 0.1, at_all=False, hears=False)
    assert pace.walk_at == 110.0
