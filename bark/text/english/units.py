"""Signs and codes of currencies, symbols of units, and the words they stand for."""

from __future__ import annotations

CURRENCIES = {  # sign: unit, hundredth
    "$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", ""),
    "₹": ("rupee", "paisa"), "₩": ("won", ""), "₽": ("ruble", "kopeck"), "₺": ("lira", ""),
    "₿": ("bitcoin", ""), "₴": ("hryvnia", ""), "₫": ("dong", ""), "₪": ("shekel", ""),
    "₦": ("naira", ""), "₱": ("peso", ""),
}  # fmt: skip
DOLLARS = {
    "US": "u s", "A": "australian", "AU": "australian", "C": "canadian", "CA": "canadian",
    "HK": "hong kong", "NZ": "new zealand", "S": "singapore", "NT": "new taiwan",
}  # fmt: skip
CODES = {
    "USD": "u s dollar", "EUR": "euro", "GBP": "pound", "JPY": "yen", "CHF": "swiss franc",
    "CAD": "canadian dollar", "AUD": "australian dollar", "INR": "rupee", "CNY": "yuan",
    "SEK": "swedish krona", "NOK": "norwegian krone", "DKK": "danish krone", "RUB": "ruble",
    "KRW": "won", "MXN": "mexican peso", "BRL": "brazilian real", "HKD": "hong kong dollar",
    "NZD": "new zealand dollar", "SGD": "singapore dollar", "BTC": "bitcoin", "ZAR": "rand",
    "PLN": "zloty", "TRY": "lira", "THB": "baht",
}  # fmt: skip
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "tn": "trillion",
          "b": "billion", "t": "trillion"}  # fmt: skip
UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "um": "micrometer",
    "nm": "nanometer", "mi": "mile", "yd": "yard", "ft": "foot", "nmi": "nautical mile",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "ug": "microgram", "mcg": "microgram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "L": "liter", "l": "liter", "ml": "milliliter",
    "cl": "centiliter", "dl": "deciliter", "gal": "gallon", "Hz": "hertz", "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "PB": "petabyte", "kbps": "kilobit per second", "Mbps": "megabit per second",
    "Gbps": "gigabit per second", "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt",
    "mW": "milliwatt", "kWh": "kilowatt hour", "MWh": "megawatt hour", "Wh": "watt hour",
    "V": "volt", "kV": "kilovolt", "mV": "millivolt", "mA": "milliamp", "mAh": "milliamp hour",
    "dB": "decibel", "hPa": "hectopascal", "kPa": "kilopascal", "psi": "p s i", "kJ": "kilojoule",
    "mmHg": "millimeter of mercury", "kcal": "kilocalorie", "ppm": "part per million",
    "mph": "mile per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour",
    "mpg": "mile per gallon", "rpm": "revolution per minute", "fps": "frame per second",
    "dpi": "dot per inch", "px": "pixel", "ms": "millisecond", "us": "microsecond",
    "ns": "nanosecond", "sec": "second", "secs": "second", "min": "minute", "mins": "minute",
    "tsp": "teaspoon", "tbsp": "tablespoon", "h": "hour", "hr": "hour", "hrs": "hour",
    "hp": "horsepower", "Ah": "amp hour", "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit",
    "yr": "year", "yrs": "year", "mo": "month", "mos": "month", "wk": "week", "wks": "week",
    "bhp": "brake horsepower", "bpm": "beat per minute", "bps": "basis point", "cc": "c c",
    "qt": "quart", "pt": "pint", "pts": "point", "pcs": "piece", "doz": "dozen", "ha": "hectare",
    "pct": "percent", "fl oz": "fluid ounce", "kts": "knot", "MP": "megapixel",
    "Nm": "newton meter", "mL": "milliliter", "cL": "centiliter",
    "kN": "kilonewton", "MPa": "megapascal", "GPa": "gigapascal", "mbar": "millibar",
    "MJ": "megajoule", "GWh": "gigawatt hour", "TWh": "terawatt hour", "VA": "volt amp",
    "kVA": "kilovolt amp", "mol": "mole", "mmol": "millimole", "umol": "micromole",
    "mM": "millimolar", "uM": "micromolar", "nM": "nanomolar", "uL": "microliter",
    "ul": "microliter", "uF": "microfarad", "nF": "nanofarad", "pF": "picofarad",
    "uA": "microamp", "uV": "microvolt", "kDa": "kilodalton", "eV": "electron volt",
    "keV": "kilo electron volt", "TeV": "tera electron volt", "ka": "thousand year",
    "bbl": "barrel", "MeV": "mega electron volt", "GeV": "giga electron volt",
    "mSv": "millisievert", "ly": "light year", "Gyr": "billion year", "Myr": "million year",
    "kyr": "thousand year", "Ma": "million year", "Ga": "billion year", "ohm": "ohm",
    "kohm": "kilohm", "Mohm": "megohm", "mEq": "milliequivalent", "dL": "deciliter",
    "sq ft": "square foot", "sq mi": "square mile", "sq yd": "square yard",
    "sq km": "square kilometer", "sq m": "square meter", "cu ft": "cubic foot",
    "cu m": "cubic meter", "cu yd": "cubic yard", "sq in": "square inch",
}  # fmt: skip
EXACT = frozenset(  # in other letters, small or capital, they mean others
    "us mi gal hr hrs Ah mo ha pt ly MP Nm kN MPa GPa VA mM uM nM uL uF nF pF uA uV eV keV MeV GeV "
    "mSv Gyr Myr kyr Ma Ga ohm kohm Mohm mEq cc mol TeV ka".split()
)
ALONE = (
    "lb ml tsp tbsp km kg cm mph mpg kWh GHz MHz kHz kW MB GB TB pct".split()
)  # not oz: Oz is a name
PER = {"h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "d": "day",
       "yr": "year", "wk": "week", "mo": "month", "in": "inch"}  # fmt: skip
PER_WORDS = (
    "second minute hour day night week month year person head student mile gallon unit barrel "
    "share ton tonne seat user item liter litre acre game child"
)
COUNTED = (
    "people|users|customers|jobs|homes|households|barrels|views|voters|members|copies|followers|"
    "subscribers|visitors|passengers|adults|children|workers|patients|pupils|shares|votes|tourists"
)
VESSELS = (
    "tins?|cans?|jars?|packs?|packets?|bottles?|bags?|cartons?|sachets?|pouches|pouch|box|boxes|"
    "tubs?|tubes?|tablets?|blocks?|slices?|fillets?|steaks?"
)
LENGTHS = frozenset("millimeter centimeter meter kilometer inch foot yard mile".split())
SPELLINGS = {  # of units: "KM", "Kg" and "kwh", but not "Ma" for mA nor "mM" for mm
    form: unit
    for name, unit in UNITS.items()
    if len(name) > 1 and name not in EXACT
    for form in (name.lower(), name.upper(), name.capitalize() if name.islower() else name)
} | UNITS
