import { fileURLToPath } from 'node:url';
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  loadPackageDefinition,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** The service of `machines.proto`, in all modes of gRPC. */
export const MACHINES = { package: 'machines', protoPath: fileURLToPath(new URL('machines.proto', import.meta.url)) };

export interface Text {
  readonly text: string;
}

export type TextCallback = (error: ServiceError | null, answer?: Text) => void;

export interface MachinesClient {
  close(): void;
  unary(text: Text, metadata: Metadata, callback: TextCallback): ClientUnaryCall;
  write(text: Text, metadata: Metadata, callback: TextCallback): ClientUnaryCall;
  open(text: Text, metadata: Metadata, callback: TextCallback): ClientUnaryCall;
  serverStream(text: Text, metadata: Metadata): ClientReadableStream<Text>;
  streamMethod(metadata: Metadata): ClientDuplexStream<Text, Text>;
  streamCall(metadata: Metadata): ClientDuplexStream<Text, Text>;
  streamMethodToOne(metadata: Metadata, callback: TextCallback): ClientDuplexStream<Text, Text>;
  streamCallToOne(metadata: Metadata, callback: TextCallback): ClientDuplexStream<Text, Text>;
}

/** Makes a client of grpc-js, without TLS. */
export function machinesClient(url: string): MachinesClient {
  const definition = loadPackageDefinition(loadSync(MACHINES.protoPath)) as unknown as {
    machines: { Machines: new (url: string, credentials: unknown) => MachinesClient };
  };
  return new definition.machines.Machines(url, credentials.createInsecure());
}
