"""A page of HTML that stands on its own: tables that sort, the graph, histograms."""

from .histogram import Edge
from .parts import Line, Page, Table
from .render import LIMIT, render

__all__ = ["LIMIT", "Edge", "Line", "Page", "Table", "render"]
