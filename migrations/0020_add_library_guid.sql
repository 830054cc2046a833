-- The GUID of a virtual library, by which the media server also refers to it.

ALTER TABLE strm_libraries
    ADD COLUMN provider_library_guid text;
