# Doorkeeper in the smallest Rails application: opaque tokens, introspection by the client itself.
require 'action_controller/railtie'
require 'active_record/railtie'
require 'doorkeeper'

ENV['DATABASE_URL'] = "sqlite3:#{File.join(ENV['DATA'], 'database')}"

class Server < Rails::Application
  config.eager_load = false
  config.consider_all_requests_local = false
  config.secret_key_base = 'a key of this server'
  config.logger = Logger.new($stderr, level: :warn)
  config.hosts.clear
end

Doorkeeper.configure do
  orm :active_record
  grant_flows %w[client_credentials]
  allow_token_introspection { |_token, client, _authorized_token| client.present? }
end

Server.initialize!
Server.routes.draw { use_doorkeeper { skip_controllers :authorizations, :applications, :authorized_applications } }

unless ActiveRecord::Base.connection.table_exists?(:oauth_applications)
  ActiveRecord::Schema.define do
    create_table :oauth_applications do |table|
      table.string :name, null: false
      table.string :uid, null: false
      table.string :secret, null: false
      table.text :redirect_uri
      table.string :scopes, null: false, default: ''
      table.boolean :confidential, null: false, default: true
      table.timestamps null: false
    end
    create_table :oauth_access_tokens do |table|
      table.bigint :resource_owner_id
      table.bigint :application_id, null: false
      table.string :token, null: false
      table.string :refresh_token
      table.integer :expires_in
      table.datetime :revoked_at
      table.datetime :created_at, null: false
      table.string :scopes
      table.string :previous_refresh_token, null: false, default: ''
    end
  end
end
unless Doorkeeper::Application.exists?(uid: ENV['CLIENT_ID'])
  Doorkeeper::Application.new(name: 'svc', uid: ENV['CLIENT_ID'], secret: ENV['CLIENT_SECRET']).save!(validate: false)
end

require 'rack/handler/puma'
Rack::Handler::Puma.run(Server, Host: '127.0.0.1', Port: ENV['PORT'].to_i, Threads: '1:4', Silent: true)
