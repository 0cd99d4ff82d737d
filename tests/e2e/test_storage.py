"""All results in a bucket: a run of two rounds against an S3 server on this machine."""

import io

import boto3
import pandas as pd
import pytest
from moto import server as moto

from projects import Project

pytestmark = pytest.mark.slow

KEY = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}


@pytest.fixture
def bucket(monkeypatch):
    """A bucket on a server that ends with the test, and the options with which Snakemake uses it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "tests")
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_SECRET_KEY", "tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    found = boto3.resource("s3", endpoint_url=url, **KEY).Bucket("prunescope")
    found.create()
    found.options = (
        *("--default-storage-provider", "s3", "--default-storage-prefix", "s3://prunescope"),
        *("--storage-s3-endpoint-url", url, "--resources", "gpu=0", "--"),
    )
    yield found
    server.stop()


def files(project: Project, of: str) -> set[str]:
    """The files of results of an experiment below a folder, without logs, benchmarks and records."""
    return {
        str(path.relative_to(project.folder))
        for path in (project.folder / of).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_two_rounds_with_all_results_in_a_bucket(built, create, bucket, tmp_path):
    project = create(tmp_path / "project")
    project.add_keys("seeds: [0]")
    project.snakemake(*bucket.options)
    keys = {item.key: item for item in bucket.objects.all()}
    expected = files(built, "results/tiny") | files(built, "results/data")
    assert {path for path in expected if "/seed1/" not in path} <= set(keys)
    assert not files(project, "results/tiny")
    matrix = pd.read_parquet(io.BytesIO(keys["results/tiny/similarity.parquet"].get()["Body"].read()))
    local = pd.read_parquet(built.folder / "results/tiny/similarity.parquet").query("seed_a == 0 == seed_b")
    pd.testing.assert_frame_equal(matrix, local.reset_index(drop=True))
    # Nothing to do, and after a change exactly the jobs that depend on it.
    assert project.jobs(*bucket.options) == set()
    project.add_keys("findings: {margin: 0.1}")
    assert project.jobs(*bucket.options) == {"write_report tiny", "draw_figures tiny"}
    # Results can be copied from the bucket and used as if they had been computed in the folder.
    copy = create(tmp_path / "copy")
    copy.add_keys("seeds: [0]")
    for key in keys:
        (copy.folder / key).parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(key, str(copy.folder / key))
    assert copy.jobs("--resources", "gpu=0") == set()
