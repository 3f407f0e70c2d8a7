"""Image quality of stored sets, and whether it says anything of detection.

Records and statistics (`record`, `statistics`, `quality_vs_detection`, `cross_matrix`) import no
torch; what measures (`measure`, `cross_evaluation`) does.
"""
