# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the tests marked `versions` with combinations of versions, and generates docs/versions.md."""
