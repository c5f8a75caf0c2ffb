# The portal of LemonLDAP::NG as an OpenID Connect provider: opaque tokens with introspection for one client, JWTs for
# another.
use strict;
use warnings;
use JSON qw(to_json);

my ( $port, $data, $client ) = @ENV{qw(PORT DATA CLIENT_ID)};

sub write_file {
    my ( $name, $text ) = @_;
    open my $file, '>', "$data/$name" or die "$name: $!";
    print $file $text;
    close $file;
}

sub relying_party {
    my ( $id, %options ) = @_;
    my %all = (
        ClientID                    => $id,
        ClientSecret                => $ENV{CLIENT_SECRET},
        AllowClientCredentialsGrant => 1,
        %options,
    );
    return { map { ( "oidcRPMetaDataOptions$_" => $all{$_} ) } keys %all };
}

if ( !-e "$data/lmConf-1.json" ) {
    my $key = `openssl genrsa 2048 2>/dev/null`;
    mkdir "$data/$_" for qw(sessions locks cache);
    write_file( 'key.pem', $key );
    my $public  = `openssl rsa -in $data/key.pem -pubout 2>/dev/null`;
    my $storage = { Directory => "$data/sessions", LockDirectory => "$data/locks" };
    write_file(
        'lmConf-1.json',
        to_json( {
                cfgNum                          => 1,
                cfgDate                         => time,
                locationRules                   => { '127.0.0.1' => { default => 'deny' } },
                key                             => 'a key of this server',
                portal                          => "http://127.0.0.1:$port/",
                domain                          => '127.0.0.1',
                authentication                  => 'Null',
                userDB                          => 'Null',
                passwordDB                      => 'Null',
                registerDB                      => 'Null',
                globalStorage                   => 'Apache::Session::File',
                globalStorageOptions            => $storage,
                issuerDBOpenIDConnectActivation => 1,
                oidcServicePrivateKeySig        => $key,
                oidcServicePublicKeySig         => $public,
                oidcServiceKeyIdSig             => 'key-1',
                oidcRPMetaDataOptions           => {
                    opaque => relying_party($client),
                    jwt    => relying_party( "$client-jwt", AccessTokenJWT => 1 ),
                },
                oidcRPMetaDataExportedVars => { opaque => {}, jwt => {} },
            }
        )
    );
    write_file( 'lemonldap-ng.ini', <<"INI" );
[all]
logLevel = error
logger = Lemonldap::NG::Common::Logger::Std
[configuration]
type = File
dirName = $data
localStorage = Cache::FileCache
localStorageOptions = { 'namespace' => 'config', 'cache_root' => '$data/cache' }
[portal]
templateDir = /usr/share/lemonldap-ng/portal/templates
languages = en
INI
}

$ENV{LLNG_DEFAULTCONFFILE} = "$data/lemonldap-ng.ini";
require Lemonldap::NG::Portal::Main;
require Plack::Loader;
Plack::Loader->load( 'Standalone', host => '127.0.0.1', port => $port )
  ->run( Lemonldap::NG::Portal::Main->run( { configStorage => { confFile => $ENV{LLNG_DEFAULTCONFFILE} } } ) );
