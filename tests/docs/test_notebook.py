"""The notebook of the documentation runs as it is, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import bayesr

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
if not NOTEBOOK.is_file():
    pytest.skip("the source distribution has no documentation", allow_module_level=True)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Return the cells of code with their outputs, and the folder in which they ran."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, str(folder / "jupyter"))
        nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": folder}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"], folder


def test_it_is_kept_without_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


def test_nothing_is_written_to_the_stream_of_errors(executed):
    said = [out for cell in executed[0] for out in cell.outputs if out.get("name") == "stderr"]
    assert not said


def test_models_and_figures_are_shown(executed):
    cells, _ = executed
    shown = {cell.source: out.data for cell in cells for out in cell.outputs if out.output_type == "execute_result"}
    page = next(data["text/html"] for source, data in shown.items() if source.endswith("bayesr.models()"))
    assert all(info.name in page for info in bayesr.models())
    plots = [data for source, data in shown.items() if ".plot(" in source]
    assert len(plots) == 2 and all("image/png" in data for data in plots), "of a product in memory, and of a store"


def test_files_are_where_the_notebook_says(executed):
    assert {"nuclei.zarr", "nuclei.html", "mean.png"} <= {path.name for path in executed[1].iterdir()}
