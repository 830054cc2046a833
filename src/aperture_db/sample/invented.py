"""Invented titles, people and plots, for what the lists of known films and series don't cover."""

from __future__ import annotations

from random import Random

ADJECTIVES = (
    "Amber", "Bitter", "Blind", "Borrowed", "Broken", "Crimson", "Crooked", "Distant", "Drowned",
    "Electric", "Empty", "Eternal", "Faithful", "Fallen", "Final", "Forgotten", "Fragile",
    "Frozen", "Gentle", "Glass", "Golden", "Hidden", "Hollow", "Honest", "Hungry", "Iron",
    "Ivory", "Lonely", "Long", "Lost", "Lucky", "Midnight", "Narrow", "Northern", "Pale",
    "Paper", "Patient", "Perfect", "Quiet", "Restless", "Rusty", "Sacred", "Salted", "Scarlet",
    "Second", "Secret", "Silent", "Silver", "Sleeping", "Southern", "Stolen", "Strange",
    "Sunken", "Tender", "Thirteenth", "Unwritten", "Velvet", "Wandering", "Wicked", "Winter",
)  # fmt: skip
NOUNS = (
    "Alibi", "Anthem", "Archive", "Atlas", "Bargain", "Beacon", "Bridge", "Candle", "Canyon",
    "Cartographer", "Circus", "Clockmaker", "Comet", "Compass", "Confession", "Crossing",
    "Cuckoo", "Daughter", "Detour", "Diver", "Echo", "Engine", "Equation", "Exile", "Falcon",
    "Ferry", "Feud", "Forest", "Garden", "Ghost", "Harbour", "Harvest", "Horizon", "Hotel",
    "Hunter", "Island", "Journey", "Kingdom", "Labyrinth", "Lantern", "Letter", "Lighthouse",
    "Machine", "Melody", "Mirror", "Monsoon", "Mountain", "Museum", "Navigator", "Oath",
    "Observatory", "Orchard", "Orchestra", "Painter", "Passenger", "Pilgrim", "Planet", "Promise",
    "Puzzle", "Railway", "Rebellion", "Reunion", "Riddle", "River", "Sailor", "Satellite",
    "Season", "Shadow", "Signal", "Storm", "Stranger", "Summer", "Theatre", "Thief", "Tide",
    "Tower", "Traveller", "Treaty", "Trial", "Violin", "Voyage", "Waltz", "Widow", "Witness",
)  # fmt: skip
FIRST_NAMES = (
    "Ada", "Aino", "Amara", "Anton", "Astrid", "Bela", "Bruno", "Carmen", "Chidi", "Clara",
    "Dario", "Edith", "Elif", "Emil", "Farah", "Felix", "Greta", "Hana", "Henrik", "Ines",
    "Ivo", "Jana", "Jules", "Kofi", "Lars", "Leila", "Lucia", "Magnus", "Maya", "Mei", "Milan",
    "Nadia", "Nils", "Noor", "Olga", "Oskar", "Paolo", "Priya", "Rafael", "Ravi", "Rosa", "Ruth",
    "Sami", "Selma", "Silas", "Tariq", "Tessa", "Vera", "Yuki", "Zofia",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Almeida", "Andersen", "Baptiste", "Bauer", "Bergström", "Castell", "Dvorak",
    "Eriksen", "Farkas", "Fontaine", "Garrido", "Halloran", "Haugen", "Ibarra", "Ito", "Jansen",
    "Kaplan", "Karimi", "Keller", "Kowalski", "Laurent", "Lindqvist", "Marchetti", "Mbeki",
    "Moreau", "Nakano", "Novak", "Okafor", "Okonkwo", "Olsen", "Pereira", "Petrov", "Quist",
    "Rahman", "Reyes", "Rossi", "Sandoval", "Schreiber", "Sato", "Silva", "Sorensen", "Tanaka",
    "Thorne", "Ueda", "Valdez", "Varga", "Virtanen", "Weiss", "Yilmaz", "Zielinski",
)  # fmt: skip
HEROES = (
    "a retired detective", "two estranged sisters", "a ship's cook", "a young cartographer",
    "a village doctor", "a night-shift radio host", "a disgraced judge", "three old friends",
    "a piano tuner", "a lighthouse keeper's daughter", "a translator", "a reluctant heir",
)  # fmt: skip
DEEDS = (
    "must decide whom to trust", "sets out to find a lost letter", "uncovers an old deception",
    "tries to keep a promise", "has one night to put things right", "learns what was left unsaid",
    "follows a trail that everybody else gave up", "is taken for somebody else",
    "comes home after many years", "makes a bargain that can't be undone",
)  # fmt: skip
PLACES = (
    "on a small island", "in a mining town", "aboard a sleeper train", "in a city under curfew",
    "at the edge of the desert", "during the hottest summer in memory", "on the last ferry",
    "in an orbital station", "behind the scenes of a travelling theatre", "in the high mountains",
)  # fmt: skip
STUDIOS = (
    "Lanternhouse", "Blue Heron Pictures", "Meridian Film", "Northgate", "Paper Kite",
    "Saltwater Studios", "Tall Clock", "Vesper & Co.", "Wren Productions", "Zephyr Pictures",
)  # fmt: skip
NETWORKS = ("Channel Nine", "Harbour TV", "Kanal 6", "Meridian+", "Northern", "Studio West")
KEYWORDS = (
    "based on a novel", "coming of age", "cult film", "dystopia", "ensemble cast", "family",
    "friendship", "heist", "investigation", "journey", "memory", "nonlinear timeline", "outsider",
    "revenge", "road trip", "small town", "space travel", "time travel", "twist ending", "war",
)  # fmt: skip
COUNTRIES = (
    "Argentina", "Brazil", "Canada", "Denmark", "France", "Germany", "India", "Italy", "Japan",
    "Mexico", "Nigeria", "South Korea", "Spain", "Sweden", "United Kingdom", "United States",
)  # fmt: skip


def person(rng: Random) -> str:
    return f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"


def plot(rng: Random) -> str:
    hero = rng.choice(HEROES)
    return f"{hero[0].upper()}{hero[1:]} {rng.choice(DEEDS)} {rng.choice(PLACES)}."


def new_title(rng: Random, taken: set[str]) -> str:
    """A title that `taken` doesn't have yet, in whatever case; it is added there."""
    while True:
        first, second = rng.sample(NOUNS, 2)
        adjective = rng.choice(ADJECTIVES)
        title = rng.choice(
            (
                f"The {adjective} {first}",
                f"{adjective} {first}",
                f"The {first} and the {second}",
                f"{first} of the {adjective} {second}",
                f"The {first}'s {second}",
            )
        )
        if title.lower() not in taken:
            taken.add(title.lower())
            return title
