"""The web page of the examples in a real browser: typed into, streamed to, stopped and closed.

With ``SCREENSHOTS=<folder>`` the tests save what a person sees. ``COWBOY=<folder>`` names a folder
with Cowboy and Ranch, for the test of the page on it; `make test-browser` gets one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.python.support.browser import Browser, Tab, browser, find_program
from tests.python.support.example_server import (
    example_server,
    requests_in_flight,
    wait_until_idle,
)

PROGRAM = find_program()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium: make test-browser")

ANSWER = "Hello! I am a fake engine, and say this to everybody."

#: The sizes of a window on a desk and of a telephone.
DESK, TELEPHONE = (1200, 800), (390, 844)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert PROGRAM is not None
    with browser(PROGRAM) as running:
        yield running


@pytest.fixture(scope="module")
def fake() -> Iterator[str]:
    """The address of a page whose engine is fake."""
    with example_server("--fake") as address:
        yield address


@pytest.fixture
def tab(chromium: Browser, fake: str) -> Iterator[Tab]:
    with chromium.open(fake) as tab:
        tab.look(width=DESK[0], height=DESK[1])
        yield tab
    wait_until_idle(fake)


def save(tab: Tab, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        tab.save_screenshot(Path(folder) / f"{name}.png")


def ask(tab: Tab, text: str) -> None:
    """Types a question and sends it with the enter key."""
    tab.value("question.focus()")
    tab.type(text)
    tab.press_enter()


def wait_for_words(tab: Tab, count: int) -> None:
    """Waits until the last answer has so many words."""
    words = "[...document.querySelectorAll('.assistant p')].at(-1)?.innerText.split(' ').length"
    tab.wait(f"({words}) >= {count}")


def wait_for_end(tab: Tab) -> None:
    tab.wait("document.querySelector('.assistant') && !document.querySelector('.writing')")


def test_an_answer_is_shown_while_it_is_written(tab: Tab) -> None:
    save(tab, "empty")
    tab.value(
        "window.seen = new Set(); new MutationObserver(() => {"
        " const p = document.querySelector('.assistant p'); if (p) seen.add(p.textContent) })"
        ".observe(messages, {subtree: true, childList: true, characterData: true})"
    )
    ask(tab, "Hello")
    wait_for_end(tab)
    assert tab.text(".user p") == "Hello"
    assert tab.text(".assistant p") == ANSWER
    # It came in pieces: the words of the answer are its tokens.
    assert tab.value("seen.size") > 2
    assert "11 tokens · " in tab.text(".assistant .note")
    assert "tokens/s" in tab.text(".assistant .note")


def test_a_conversation_goes_on(tab: Tab) -> None:
    ask(tab, "Hello")
    wait_for_end(tab)
    ask(tab, "And now?")
    tab.wait("history.length === 4")
    assert tab.value("history") == [
        ["user", "Hello"],
        ["assistant", ANSWER],
        ["user", "And now?"],
        ["assistant", ANSWER],
    ]
    save(tab, "conversation")
    tab.click("#new")
    assert tab.value("history.length") == 0
    assert tab.value("document.querySelectorAll('.message').length") == 0


def test_the_button_stops_the_engine(tab: Tab, fake: str) -> None:
    ask(tab, "Tell me a story")
    wait_for_words(tab, 6)
    assert requests_in_flight(fake) == 1
    tab.wait("document.querySelector('#engine').innerText === '1 running'")
    save(tab, "writing")
    tab.click("#stop")
    wait_until_idle(fake)
    wait_for_end(tab)
    assert tab.text(".assistant .note").endswith("stopped")
    assert tab.text(".assistant p").startswith("Once upon a time")
    # What there is of the answer belongs to the conversation, and the next question can be asked.
    assert tab.value("history.length") == 2
    ask(tab, "Hello")
    tab.wait("history.length === 4")


def test_closing_the_tab_stops_the_engine(chromium: Browser, fake: str) -> None:
    with chromium.open(fake) as tab:
        ask(tab, "Tell me a story")
        wait_for_words(tab, 6)
        assert requests_in_flight(fake) == 1
        tab.close()
        wait_until_idle(fake)


def test_a_new_chat_stops_the_answer_of_the_old_one(tab: Tab, fake: str) -> None:
    ask(tab, "Tell me a story")
    wait_for_words(tab, 3)
    tab.click("#new")
    wait_until_idle(fake)
    ask(tab, "Hello")
    tab.wait("history.length === 2")
    assert tab.text(".assistant p") == ANSWER


def test_a_failure_is_shown_and_the_next_question_can_be_asked(tab: Tab) -> None:
    # Longer than the engine's context.
    tab.value("question.focus()")
    tab.type("too long " * 600)
    tab.press_enter()
    tab.wait("document.querySelector('.failed')")
    tab.value("document.querySelector('.user').remove()")
    save(tab, "failure")
    assert tab.text(".failed p") != ""
    assert tab.value("history.length") == 0
    ask(tab, "Hello")
    tab.wait("history.length === 2")


def test_text_is_shown_as_it_is(tab: Tab) -> None:
    ask(tab, '<b>bold</b> & "quoted"')
    wait_for_end(tab)
    assert tab.text(".user p") == '<b>bold</b> & "quoted"'


def test_shift_and_enter_make_a_line(tab: Tab) -> None:
    tab.value("question.focus()")
    tab.type("first")
    tab.press_enter(shift=True)
    tab.type("second")
    assert tab.value("question.value") == "first\nsecond"
    tab.press_enter()
    wait_for_end(tab)
    assert tab.value("history[0][1]") == "first\nsecond"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_cut_off_on_a_telephone(tab: Tab, dark: bool) -> None:
    tab.look(width=TELEPHONE[0], height=TELEPHONE[1], dark=dark)
    name = f"telephone-{'dark' if dark else 'light'}"
    save(tab, f"{name}-empty")
    ask(tab, "Hello, I have " + "averylongword" * 10)
    wait_for_end(tab)
    ask(tab, "Tell me a story")
    wait_for_words(tab, 12)
    save(tab, name)
    assert tab.value("document.documentElement.scrollWidth") <= TELEPHONE[0]
    assert tab.value("document.querySelector('#stop').getBoundingClientRect().bottom") < 844
    tab.click("#stop")
    wait_for_end(tab)


def test_cowboy_serves_the_page_where_it_is_installed(chromium: Browser) -> None:
    if (folder := os.environ.get("COWBOY")) is None:
        pytest.skip("there is no Cowboy: make test-browser")
    with example_server("--fake", ERL_LIBS=folder) as address, chromium.open(address) as tab:
        assert tab.value("fetch('/').then((answer) => answer.headers.get('server'))") == "Cowboy"
        ask(tab, "Hello")
        wait_for_end(tab)
        assert tab.text(".assistant p") == ANSWER
        ask(tab, "Tell me a story")
        wait_for_words(tab, 6)
        tab.click("#stop")
        wait_until_idle(address)
        wait_for_end(tab)
        ask(tab, "Tell me another story")
        wait_for_words(tab, 6)
        assert requests_in_flight(address) == 1
        tab.close()
        wait_until_idle(address)


def test_a_real_model_answers_and_is_stopped(chromium: Browser) -> None:
    with example_server() as address, chromium.open(address) as tab:
        tab.look(width=DESK[0], height=DESK[1], dark=True)
        ask(tab, "Tell me a long story about the sea.")
        tab.wait("Number(document.querySelector('.assistant .note')?.innerText.split(' ')[0]) >= 8")
        assert requests_in_flight(address) == 1
        save(tab, "real-writing")
        tab.click("#stop")
        wait_until_idle(address)
        wait_for_end(tab)
        save(tab, "real")
        assert len(tab.text(".assistant p").split()) > 3
