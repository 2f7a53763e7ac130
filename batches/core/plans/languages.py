"""Labels and words of dependencies in other languages: German, French, Spanish, Portuguese, Italian and Dutch.

A plan may be written in them with the keys of its phases. Only whole labels are known, and only the words that speak of waiting;
any other word beside a phase stays as it is, and is then an error like every word that is not understood.
"""

import re

GOAL = ("ziel", "zweck", "objectif", "objetivo", "obiettivo", "scopo", "doel")
HOURS = (
    "aufwand",
    "geschätzter aufwand",
    "dauer",
    "zeitaufwand",
    "durée",
    "durée estimée",
    "duración",
    "duración estimada",
    "tiempo estimado",
    "esfuerzo",
    "duração",
    "esforço",
    "durata",
    "durata stimata",
    "duur",
    "inspanning",
)
COMPLEXITY = ("komplexität", "complexité", "complejidad", "complexidade", "complessità", "complexiteit")
FILES = (
    "dateien",
    "betroffene dateien",
    "fichiers",
    "fichiers modifiés",
    "archivos",
    "ficheros",
    "arquivos",
    "file modificati",
    "bestanden",
)
DEPENDENCIES = (
    "abhängigkeiten",
    "abhängigkeit",
    "hängt ab von",
    "voraussetzung",
    "voraussetzungen",
    "dépendances",
    "dépend de",
    "prérequis",
    "dependencias",
    "depende de",
    "requisitos previos",
    "dependências",
    "pré-requisitos",
    "dipendenze",
    "dipende da",
    "prerequisiti",
    "afhankelijkheden",
    "afhankelijk van",
)
STEPS = (
    "schritte",
    "aufgaben",
    "umsetzungsschritte",
    "étapes",
    "tâches",
    "pasos",
    "tareas",
    "passos",
    "tarefas",
    "passaggi",
    "attività",
    "stappen",
    "taken",
)
GATES = (
    "abnahmekriterien",
    "akzeptanzkriterien",
    "prüfung",
    "überprüfung",
    "fertig, wenn",
    "fertig wenn",
    "critères d'acceptation",
    "critères d’acceptation",
    "critères de validation",
    "vérification",
    "criterios de aceptación",
    "verificación",
    "critérios de aceitação",
    "critérios de aceite",
    "verificação",
    "criteri di accettazione",
    "verifica",
    "acceptatiecriteria",
    "verificatie",
)
PHASE = r"fase|étape|etape|etapa|schritt|abschnitt|jalon|meilenstein|hito|paso|passo|stap|aufgabe|tâche|tarea|tarefa|taak"
"""Words for a phase before its key, as a pattern; “Phase” itself is German and French, too."""

_PHASES = re.compile(rf"\b(?:phasen|fases|fasen|fasi|étapes|etapas|schritte|{PHASE})\s+(?=[0-9]|[A-Z]\b)", re.IGNORECASE)
_WORDS = tuple(
    (re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), english)
    for words, english in (
        (
            r"hängt\s+nicht\s+ab\s+von|unabhängig\s+von|ne\s+dépend\s+pas\s+de|indépendante?\s+de|no\s+depende\s+de|independiente\s+de|não\s+depende\s+de|"
            r"independente\s+de|non\s+dipende\s+da|indipendente\s+da|onafhankelijk\s+van",
            "does not depend on",
        ),
        (
            r"(?:parallel\s+(?:zu|mit)|en\s+parallèle\s+(?:avec|de)|en\s+paralelo\s+(?:con|a)|em\s+paralelo\s+com|in\s+parallelo\s+(?:con|a)|parallel\s+met)"
            r"(?:\s+(?:[ao]|la|le|l'|de[rmn]?|el))?",
            "in parallel with",
        ),
        (r"blockiert|bloque|bloquea|bloqueia|blocca|blokkeert", "blocks"),
        (r"vor|avant|antes\s+d[eao]|prima\s+di|voor", "before"),
        (r"außer|ausser|sauf|hors|excepto|salvo|exceto|eccetto|tranne|behalve", "except"),
        (r"nicht|pas|não|non|niet", "not"),
        (
            r"hängt\s+ab\s+von|abhängig\s+von|dépend\s+de|depende\s+de|dipende\s+da|afhankelijk\s+van|benötigt|braucht|nécessite|requiere|requer|richiede|vereist",
            "depends on",
        ),
        (r"nach|après|después\s+de|tras|depois\s+d[ea]|após|dopo", "after"),
        (r"keine|kein|aucune?|rien|ninguna?|nada|nenhuma?|nessuna?|niente|geen", "None"),
        (r"alle\s+(?:vorherigen|vorigen|früheren)\s+phasen", "all previous phases"),
        (r"und|et|ed|en|(?<=[0-9]\s)[ey](?=\s+(?:[0-9]|fases?|etapas?|pas[so]os?))", "and"),
    )
)


def in_english(value: str) -> str:
    """A value of Dependencies with its words of waiting and of phases in English; all other words as they are."""
    if value.isascii() and re.fullmatch(r"(?i)[\s,;.&0-9]*(?:phases?[\s,;.&0-9]*(?:and)?)*", value):
        return value
    for pattern, english in _WORDS:
        value = pattern.sub(english, value)
    return _PHASES.sub("Phase ", value)
