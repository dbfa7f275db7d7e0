# SPDX-License-Identifier: Apache-2.0
"""The report: one page of evidence, made from the files of a run folder."""

from deploy.evidence.report.html import ReportResult, SampleImage, write_report

__all__ = ["ReportResult", "SampleImage", "write_report"]
