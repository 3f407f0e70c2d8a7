"""Image quality of stored sets, and whether it says anything of detection.

Pure records and statistics (`record`, `correlation`, `joined`, `crossing`) import no torch; what
measures (`measure`, `cross`) does.
"""
