"""The screening report: a static site of an installation, as pages and files by name. Rows and arrays in, bytes out.

Nothing is read or written here: `pipeline.report` gathers what the pages show, decides which of them have changed, and
puts the files where they belong. Pages need no server and no network: their scripts and pictures lie beside them.
"""

from insar_anomaly.report.site.front import front_page
from insar_anomaly.report.site.model import model_page
from insar_anomaly.report.site.plain import furniture
from insar_anomaly.report.site.volcano import volcano_page

__all__ = ["front_page", "furniture", "model_page", "volcano_page"]
