from agent.language.problems import Problem, in_order, nearest, suggest


def test_the_nearest_name_ignores_case() -> None:
    assert nearest("Regoin", ["region", "Reason"]) == "region"
    assert nearest("zzz", ["region"]) is None


def test_a_hint_names_the_nearest_or_what_there_is() -> None:
    assert suggest("ordrs", ["orders", "visits"], "KPIs") == "did you mean 'orders'?"
    assert suggest("zzz", ["visits", "orders"], "KPIs") == "known KPIs: orders, visits"
    assert suggest("zzz", [], "KPIs") == "there are no KPIs"
    assert suggest("zzz", [f"x{i:02}" for i in range(20)], "KPIs").endswith("x11, …")


def test_problems_come_in_the_order_of_their_place_and_once() -> None:
    def at(file: str, line: int) -> Problem:
        return Problem(file, line, 1, 2, "", "m")

    assert in_order([at("b", 1), at("a", 10), at("a", 9), at("b", 1)]) == [
        at("a", 9),
        at("a", 10),
        at("b", 1),
    ]
