-- HBO Max has the code mxx on JustWatch. A selection that the administrator has changed stays.

UPDATE system_settings
SET value = 'nfx,dnp,mxx',
    description = 'JustWatch codes of the streaming services shown (Netflix, Disney+, HBO Max)'
WHERE key = 'streaming_discovery_provider_strips'
  AND value = 'nfx,dnp,hbo';
