"""In a real browser: log in, JupyterLab opens, a cell runs. Its screenshot is ``output/notebook.png``."""

from browser import Person, chromium
from server import ADMIN, URL, Server


def test_notebook_in_chromium(hub: Server) -> None:
    def story() -> None:
        with chromium() as driver:
            person = Person(driver, URL)
            person.log_in(ADMIN, hub.password)
            person.open_lab(ADMIN)
            person.new_notebook()
            person.run_cell("6*7", "42")
            assert person.screenshot("notebook").stat().st_size > 10_000

    hub.machine.inside(story)
