"""EPSS and KEV over the eras of their layouts, and every way a file of them is refused."""

from __future__ import annotations

import gzip
import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immune.advisories.signal_files import read_epss_file, read_kev_file
from immune.advisories.signals import EpssScore, read_epss, read_kev_csv, read_kev_json
from immune.inventory import Unreadable
from tests.immune.shared_data import SHARED, needs_shared_data

DAY = date(2026, 1, 1)
NOW = "#model_version:v2025.03.14,score_date:2025-12-26T12:55:00Z\n"
HEAD = "cve,epss,percentile\n"


def test_the_present_layout_says_its_model_and_its_day():
    feed = read_epss([NOW, HEAD, "CVE-1999-0001,0.01151,0.7802\n", "CVE-2025-9970,7e-05,0.00428\n"], "epss", day=DAY)
    assert (feed.score_date, feed.model, feed.refused) == (date(2025, 12, 26), "v2025.03.14", ())
    assert feed.scores == {"CVE-1999-0001": EpssScore(0.01151, 0.7802), "CVE-2025-9970": EpssScore(7e-05, 0.00428)}


def test_older_layouts_have_no_percentile_or_no_first_line():
    assert read_epss(["cve,epss\n", "CVE-2020-5902,0.65117\n"], "epss", day=DAY).scores == {
        "CVE-2020-5902": EpssScore(0.65117, None)
    }
    assert read_epss([HEAD, "CVE-2020-5902,1,1.0\r\n"], "epss", day=DAY).score_date == DAY


@pytest.mark.parametrize(
    "row",
    ["CVE-1,0.1,0.1", "CVE-2020-5902,1.1,0.1", "CVE-2020-5902,nan,0.1", "CVE-2020-5902,-0.1,0", "CVE-2020-5902,0.1", "x" * 999_999,
     "CVE-2020-5902,0.1,0.2,0.3", "CVE-2020-5902,inf,0", "CVE-2020-5902,1_0,0", "CVE-2020-5902,,", "CVE-2020-0001,0.3,0.3"],
)  # fmt: skip
def test_a_broken_row_is_refused_and_the_rest_is_taken(row):
    feed = read_epss([HEAD, "CVE-2020-0001,0.5,0.5\n", row + "\n", "CVE-2020-0002,0.5,0.5\n"], "epss", day=DAY)
    assert set(feed.scores) == {"CVE-2020-0001", "CVE-2020-0002"}
    assert feed.scores["CVE-2020-0001"].probability == 0.5
    assert [refusal.source for refusal in feed.refused] == ["epss:3"]


@pytest.mark.parametrize(
    ("lines", "day", "reason"),
    [
        ([], DAY, "not an EPSS file"),
        (["<html>"], DAY, "not an EPSS file"),
        ([HEAD], DAY, "no scores"),
        (["cve,epss\n", "CVE-2020-0001,0.5\n"], None, "does not say its date"),
        (["#hello\n", HEAD], DAY, "names no model"),
        (["#model_version:v1,score_date:2025-99-99\n", HEAD], None, "does not say its date"),
        ([HEAD, *["broken\n"] * 1500], DAY, "more than 1000 rows are broken"),
    ],
)
def test_what_is_no_epss_file_is_refused(lines, day, reason):
    with pytest.raises(Unreadable, match=reason):
        read_epss(lines, "epss", day=day)


def entry(cve="CVE-2025-48384", **more):
    return {
        "cveID": cve, "vendorProject": "Git", "product": "Git", "vulnerabilityName": "Git Link Following",
        "dateAdded": "2025-08-25", "requiredAction": "Apply", "dueDate": "2025-09-15",
        "knownRansomwareCampaignUse": "Unknown", "cwes": ["CWE-59"], **more,
    }  # fmt: skip


def catalogue(*entries, **more):
    return json.dumps(
        {
            "catalogVersion": "2025.08.25",
            "dateReleased": "2025-08-25T17:04:19.9796Z",
            "vulnerabilities": entries,
            **more,
        }
    ).encode()


def test_a_kev_catalogue_is_read_with_its_day():
    kev = read_kev_json(
        catalogue(entry(), entry("CVE-2025-0002", knownRansomwareCampaignUse="Known", dueDate="")), "kev"
    )
    assert (kev.released, kev.version) == (date(2025, 8, 25), "2025.08.25")
    one, two = kev.entries.values()
    assert (one.date_added, one.due_date, one.ransomware, one.cwes) == (
        DAY.replace(2025, 8, 25),
        date(2025, 9, 15),
        None,
        ("CWE-59",),
    )
    assert (two.due_date, two.ransomware) == (None, True)


@pytest.mark.parametrize(
    "broken",
    [
        3,
        {},
        entry("CVE-x"),
        entry(dateAdded="soon"),
        entry(product=None),
        entry(requiredAction="x" * 99_999),
        entry("CVE-2025-0001"),
    ],
)
def test_a_broken_entry_is_refused_and_the_rest_is_taken(broken):
    kev = read_kev_json(catalogue(entry("CVE-2025-0001"), broken, entry("CVE-2025-0003")), "kev")
    assert set(kev.entries) == {"CVE-2025-0001", "CVE-2025-0003"}
    assert len(kev.refused) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not a KEV catalogue"),
        (catalogue(), "no entries"),
        (catalogue(entry(), count=2), "cut short"),
        (catalogue(entry(), catalogVersion=None), "version and date"),
        (catalogue(entry(), dateReleased="someday"), "version and date"),
        (catalogue(entry())[:-30], "not JSON"),
    ],
)
def test_what_is_no_kev_catalogue_is_refused(data, reason):
    with pytest.raises(Unreadable, match=reason):
        read_kev_json(data, "kev")


def test_a_kev_csv_is_as_old_as_its_newest_entry():
    columns = ("cveID", "vendorProject", "product", "vulnerabilityName", "dateAdded", "requiredAction", "dueDate")
    rows = [
        ",".join(columns) + "\n",
        '"CVE-2025-0001",Git,Git,"a, b",2025-08-20,do,2025-09-01\n',
        "CVE-2025-0002,G,G,n,2025-08-25,do,\n",
    ]
    kev = read_kev_csv(rows, "kev")
    assert (kev.released, kev.version, kev.entries["CVE-2025-0001"].name) == (date(2025, 8, 25), "", "a, b")
    with pytest.raises(Unreadable, match="not CSV"):
        read_kev_csv([rows[0], '"CVE-2025-0001\n'], "kev")
    with pytest.raises(Unreadable, match="the header is"):
        read_kev_csv(["<html>"], "kev")


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=6), st.sampled_from([[], [HEAD], [NOW, HEAD], ["cveID,dateAdded\n"]]))
def test_no_lines_break_the_readers(lines, start):
    for read in (read_epss, read_kev_csv):
        try:
            read([*start, *lines], "any", day=DAY)
        except Unreadable as error:
            assert error.reason  # noqa: PT017


def test_a_signal_file_that_is_a_bomb_or_cut_short_is_refused(tmp_path):
    bomb = tmp_path / "epss-2026-01-01.csv.gz"
    bomb.write_bytes(gzip.compress(b"\n" * 100_000_000))
    with pytest.raises(Unreadable):
        read_epss_file(bomb)
    cut = tmp_path / "kev.json.gz"
    cut.write_bytes(gzip.compress(catalogue(entry()))[:-10])
    with pytest.raises(Unreadable, match="cannot be read"):
        read_kev_file(cut)
    with pytest.raises(Unreadable, match="cannot be read"):
        read_kev_file(tmp_path / "nowhere")


@needs_shared_data
def test_real_epss_files_of_every_era_are_read_whole():
    folder = SHARED / "exploitation" / "epss"
    found = {
        path.name: (feed.score_date.isoformat(), len(feed.scores), feed.refused)
        for path in (*folder.glob("official-layout/*"), folder / "epss-all-2025-05-25.csv.gz")
        for feed in [read_epss_file(path)]
    }
    assert found == {
        "epss_scores-2021-04-14.csv.gz": ("2021-04-14", 2, ()),
        "epss_scores-2022-02-04.csv.gz": ("2022-02-04", 2, ()),
        "epss_scores-2025-12-26.excerpt.csv": ("2025-12-26", 27, ()),
        "epss-all-2025-05-25.csv.gz": ("2025-05-25", 280272, ()),
    }


@needs_shared_data
def test_real_kev_catalogues_are_read_whole_and_both_forms_agree():
    folder = SHARED / "exploitation" / "kev"
    old, as_csv, as_json = (read_kev_file(path) for path in sorted(folder.iterdir()))
    assert [len(k.entries) for k in (old, as_csv, as_json)] == [941, 1404, 1404]
    assert as_csv.entries == as_json.entries
    assert (old.released, as_json.version) == (date(2023, 5, 31), "2025.08.25")
    assert [k.refused for k in (old, as_csv, as_json)] == [(), (), ()]
