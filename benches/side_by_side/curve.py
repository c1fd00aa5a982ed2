"""The curve of cost over tokens, as an SVG beside the table."""

WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 640, 320, 60, 44, 14


def svg(points, slope):
    """Measured seconds over tokens, and the line through them."""
    across = 1.05 * max(p["tokens"] for p in points)
    up = 1.1 * max(p["seconds"] for p in points)

    def place(tokens, seconds):
        x = LEFT + (WIDTH - LEFT - 14) * tokens / across
        return f"{x:.1f}", f"{HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * seconds / up:.1f}"

    (x0, y0), (x1, _), (_, y1) = place(0, 0), place(across, 0), place(0, up)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             'font-size="12"><rect width="100%" height="100%" fill="#fff"/>',
             f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="#888"/>']
    a, b = place(0, slope[0]), place(across, slope[0] + slope[1] * across)
    parts.append(f'<line x1="{a[0]}" y1="{a[1]}" x2="{b[0]}" y2="{b[1]}" stroke="#9ab" stroke-dasharray="5 4"/>')
    for p in points:
        x, y = place(p["tokens"], p["seconds"])
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#146"/>'
                     f'<text x="{x}" y="{float(y) - 9:.1f}" text-anchor="end">{p["times"]}x, {p["seconds"]:.1f} s</text>')
    parts.append(f'<text x="{x1}" y="{HEIGHT - 12}" text-anchor="end">tokens computed (up to {across:,.0f})</text>'
                 f'<text x="{LEFT - 8}" y="{float(y1) + 4:.1f}" text-anchor="end">{up:.0f} s</text></svg>')
    return "".join(parts) + "\n"
